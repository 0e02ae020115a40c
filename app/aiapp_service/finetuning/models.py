"""Models that came of fine-tuning, taken in by each process while it runs."""

import asyncio
import logging

from aiapp_service.finetuning.store import TuningStore
from aiapp_service.gateway import Gateway
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0


async def watch(database: Database, gateway: Gateway) -> None:
    """Until cancelled, give `gateway` the models that there are. Those that are known stay while the store is down."""
    store = TuningStore(database)
    while True:
        try:
            gateway.tune(await store.models())
        except StoreDown:
            pass
        except Exception:  # the look goes on, with the models of before
            log.exception("fine-tuned models not taken in")
        await asyncio.sleep(LOOK_SECONDS)
