"""The part of fine-tuning that a worker does, put together."""

import asyncio
import logging
import random

from aiapp_service.finetuning.record import JOB, QUEUE
from aiapp_service.finetuning.run import HOLD_SECONDS, Workshop, handler
from aiapp_service.finetuning.store import TuningStore
from aiapp_service.jobs.handlers import Parts
from aiapp_service.jobs.job import Handler, Job, JobRefused
from aiapp_service.jobs.queues import Queues
from aiapp_service.stores.breaker import StoreDown

log = logging.getLogger(__name__)

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
    return [asyncio.create_task(_watch(TuningStore(parts.database), parts.queues, parts.around.rng))]


async def _watch(store: TuningStore, queues: Queues, rng: random.Random) -> None:
    while True:
        try:
            for name in await store.lost(max(_LOST_SECONDS, HOLD_SECONDS)):
                await queues[QUEUE].enqueue(JOB, {"job": name}, job_id=name, keep_result_seconds=0)
        except StoreDown as error:
            log.info("no look for lost jobs", extra={"error": str(error)})
        except Exception:
            log.exception("no look for lost jobs")
        await asyncio.sleep(LOOK_SECONDS * rng.uniform(0.75, 1.25))


async def _refuse(_job: Job) -> None:
    raise JobRefused("fine-tuning needs spec.postgres and spec.objectStore")
