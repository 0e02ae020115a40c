"""Work that nobody does though somebody should: its job was lost with Redis, or never got there."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from aiapp_service.jobs.queue import JobQueue, NewJob
from aiapp_service.stores.breaker import StoreDown

log = logging.getLogger(__name__)


async def watch(
    lost: Callable[[], Awaitable[Iterable[NewJob]]], queue: JobQueue, seconds: float, rng: random.Random
) -> None:
    """Until cancelled, about every `seconds`: add the jobs that `lost` gives.

    One of an id that waits or runs stays the only one.
    """
    while True:
        try:
            await queue.enqueue_many(await lost())
        except StoreDown as error:
            log.info("no look for lost jobs", extra={"queue": queue.name, "error": str(error)})
        except Exception:  # the next look may go well
            log.exception("no look for lost jobs", extra={"queue": queue.name})
        await asyncio.sleep(seconds * rng.uniform(0.75, 1.25))
