"""Removing now and then what has run out or was left behind; each process may, since each step may be done twice."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from aiapp_service.billing.cancellation import heed_cancellation
from aiapp_service.storage.objects import ObjectStoreError
from aiapp_service.stores.breaker import StoreDown

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 300.0


async def watch(what: str, sweep: Callable[[], Awaitable[int]], rng: random.Random) -> None:
    """Until cancelled; `sweep` gives how many of `what` it has removed."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS * rng.uniform(0.5, 1.5))
        heed_cancellation()
        try:
            swept = await sweep()
        except (StoreDown, ObjectStoreError) as error:
            log.info("not swept", extra={"what": what, "error": str(error)})
        else:
            if swept:
                log.info("swept", extra={"what": what, "count": swept})
