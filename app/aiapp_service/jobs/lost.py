"""Work that nobody does though somebody should: its job was lost with Redis, or never got there."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from aiapp_service.jobs.queue import JobQueue
from aiapp_service.stores.breaker import StoreDown

log = logging.getLogger(__name__)


async def watch(
    lost: Callable[[], Awaitable[Iterable[str]]],
    queue: JobQueue,
    job: str,
    field: str,
    seconds: float,
    rng: random.Random,
) -> None:
    """Until cancelled, about every `seconds`: give what `lost` names a job again, its name in `field` of the data.

    While it has one that stays the only one.
    """
    while True:
        try:
            for name in await lost():
                await queue.enqueue(job, {field: name}, job_id=name, keep_result_seconds=0)
        except StoreDown as error:
            log.info("no look for lost jobs", extra={"queue": queue.name, "error": str(error)})
        except Exception:  # the next look may go well
            log.exception("no look for lost jobs", extra={"queue": queue.name})
        await asyncio.sleep(seconds * rng.uniform(0.75, 1.25))
