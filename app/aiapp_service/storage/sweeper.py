"""Looking after files now and then; every process that has them may, since each step may be done twice."""

import asyncio
import logging
import random

from aiapp_service.billing.cancellation import heed_cancellation
from aiapp_service.storage.files import Files
from aiapp_service.storage.objects import ObjectStoreError
from aiapp_service.stores.breaker import StoreDown

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 300.0


async def watch(files: Files, rng: random.Random) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS * rng.uniform(0.5, 1.5))
        heed_cancellation()
        try:
            swept = await files.sweep()
        except (StoreDown, ObjectStoreError) as error:
            log.info("files not swept", extra={"error": str(error)})
        else:
            if swept:
                log.info("files swept", extra={"files": swept})
