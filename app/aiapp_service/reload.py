"""Reading the configuration again while the service runs.

kubelet swaps the files of a ConfigMap; what only a start can take in waits for the next one, which the operator
brings about. A file that is wrong changes nothing.
"""

import asyncio
import logging
from pathlib import Path

from aiapp_service.config import ServiceConfig, load
from aiapp_service.credentials import identity
from aiapp_service.gateway import Gateway

log = logging.getLogger(__name__)

RECHECK_SECONDS = 1.0


async def watch_file(file: Path, gateway: Gateway, started_with: ServiceConfig) -> None:
    """Until cancelled, give `gateway` what `file` says whenever it has changed."""
    seen = identity(file)
    while True:
        await asyncio.sleep(RECHECK_SECONDS)
        now = identity(file)
        if now is None or now == seen:
            continue
        seen = now
        _take(file, gateway, started_with)


def _take(file: Path, gateway: Gateway, started_with: ServiceConfig) -> None:
    try:
        config = load(file)
        if config.structural() != started_with.structural():
            log.info("configuration needs a start", extra={"file": str(file)})
        gateway.replace(config)
    except Exception as error:  # noqa: BLE001  # whatever is wrong with it, the service goes on with what it has
        log.warning("configuration not taken in", extra={"file": str(file), "error": str(error)[:500]})
    else:
        log.info("configuration taken in", extra={"models": len(config.models)})
