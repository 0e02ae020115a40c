"""Batches that nobody works on though somebody should: their job was lost with Redis, or never got there."""

import asyncio
import logging
import random

from aiapp_service.batches.record import JOB, QUEUE
from aiapp_service.batches.store import BatchStore
from aiapp_service.jobs.queues import Queues
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

log = logging.getLogger(__name__)

LOOK_SECONDS = 20.0
# A job that was given back or whose process was killed is at work again within this time.
LOST_SECONDS = 30.0


async def watch(database: Database, queues: Queues, rng: random.Random) -> None:
    """Until cancelled, give them a job again. While they have one it stays the only one."""
    store = BatchStore(database)
    while True:
        try:
            for name in await store.lost(LOST_SECONDS):
                await queues[QUEUE].enqueue(JOB, {"batch": name}, job_id=name, keep_result_seconds=0)
        except StoreDown as error:
            log.info("no look for lost batches", extra={"error": str(error)})
        except Exception:
            log.exception("no look for lost batches")
        await asyncio.sleep(LOOK_SECONDS * rng.uniform(0.75, 1.25))
