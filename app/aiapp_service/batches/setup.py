"""The part of batches that a worker does, put together."""

import asyncio

from aiapp_service.batches import lost
from aiapp_service.batches.handler import handler
from aiapp_service.batches.run import Workshop
from aiapp_service.jobs.handlers import Parts
from aiapp_service.jobs.job import Handler, Job, JobRefused


def batches(parts: Parts) -> Handler:
    """The handler of jobs named `batch`."""
    database, files = parts.database, parts.around.files
    if database is None or files is None:
        return _refuse
    return handler(Workshop(parts.gateway, parts.metrics, database, files, parts.around.rng, parts.stopping))


def watches(parts: Parts) -> list[asyncio.Task[None]]:
    """What runs beside the jobs."""
    if parts.database is None:
        return []
    return [asyncio.create_task(lost.watch(parts.database, parts.queues, parts.around.rng))]


async def _refuse(_job: Job) -> None:
    raise JobRefused("batches need spec.postgres and spec.objectStore")
