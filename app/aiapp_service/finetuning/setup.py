"""The part of fine-tuning that a worker does, put together."""

import asyncio

from aiapp_service.finetuning.record import JOB, QUEUE
from aiapp_service.finetuning.run import HOLD_SECONDS, Workshop, handler
from aiapp_service.finetuning.store import TuningStore
from aiapp_service.jobs import lost
from aiapp_service.jobs.handlers import Parts
from aiapp_service.jobs.job import Handler, Job, JobRefused
from aiapp_service.jobs.queue import NewJob

LOOK_SECONDS = 60.0
# Longer than a job waits between two turns.
_LOST_SECONDS = 180.0


def fine_tuning(parts: Parts) -> Handler:
    """The handler of jobs named `fine-tuning`."""
    database, files = parts.database, parts.around.files
    if database is None or files is None:
        return _refuse
    return handler(Workshop(parts.gateway, TuningStore(database), files))


def watches(parts: Parts) -> list[asyncio.Task[None]]:
    """What runs beside the jobs: a look for those that were lost with Redis."""
    if parts.database is None:
        return []
    store = TuningStore(parts.database)
    patience = max(_LOST_SECONDS, HOLD_SECONDS)

    async def lost_ones() -> list[NewJob]:
        names = await store.lost(patience)
        return [NewJob(JOB, {"job": name}, name, keep_result_seconds=0) for name in names]

    return [asyncio.create_task(lost.watch(lost_ones, parts.queues[QUEUE], LOOK_SECONDS, parts.around.rng))]


async def _refuse(_job: Job) -> None:
    raise JobRefused("fine-tuning needs spec.postgres and spec.objectStore")
