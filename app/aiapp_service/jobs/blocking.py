"""Notices when something keeps the event loop: locks are not renewed meanwhile, and jobs run twice at once."""

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# A third of how long a lock holds.
BLOCKED_SECONDS = 5.0


async def watch(running: Callable[[], list[str]]) -> None:
    """Say for how long the loop stood still, and which jobs ran then. Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        before = running()
        await asyncio.sleep(LOOK_SECONDS)
        blocked = loop.time() - began - LOOK_SECONDS
        if blocked >= BLOCKED_SECONDS:
            extra = {"seconds": round(blocked, 1), "jobs": sorted({*before, *running()})[:20]}
            log.error("a job blocked the event loop; work that needs a processor belongs into a thread", extra=extra)
