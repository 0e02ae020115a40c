"""The part of batches that a worker does, put together."""

import asyncio

from aiapp_service.batches.handler import handler
from aiapp_service.batches.record import JOB, QUEUE
from aiapp_service.batches.run import Workshop
from aiapp_service.batches.store import BatchStore
from aiapp_service.jobs import lost
from aiapp_service.jobs.handlers import Parts
from aiapp_service.jobs.job import Handler, Job, JobRefused
from aiapp_service.jobs.queue import NewJob

LOOK_SECONDS = 20.0
# A job that was given back or whose process was killed is at work again within this time.
LOST_SECONDS = 30.0


def batches(parts: Parts) -> Handler:
    """The handler of jobs named `batch`."""
    database, files = parts.database, parts.around.files
    if database is None or files is None:
        return _refuse
    return handler(Workshop(parts.gateway, parts.metrics, database, files, parts.around.rng, parts.stopping))


def watches(parts: Parts) -> list[asyncio.Task[None]]:
    """What runs beside the jobs: a look for batches whose job was lost."""
    if parts.database is None:
        return []
    store = BatchStore(parts.database)

    async def lost_ones() -> list[NewJob]:
        names = await store.lost(LOST_SECONDS)
        return [NewJob(JOB, {"batch": name}, name, keep_result_seconds=0) for name in names]

    return [asyncio.create_task(lost.watch(lost_ones, parts.queues[QUEUE], LOOK_SECONDS, parts.around.rng))]


async def _refuse(_job: Job) -> None:
    raise JobRefused("batches need spec.postgres and spec.objectStore")
