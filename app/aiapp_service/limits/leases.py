"""What requests hold in Redis is a lease: it ends by itself when a replica is killed, and is renewed while they go on.

Most requests are over before theirs has to be renewed for the first time.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from aiapp_service.limits.demand import Demand
from aiapp_service.stores.breaker import StoreDown

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_BATCH = 256
_RENEW = (Path(__file__).with_name("renew.lua")).read_text(encoding="utf-8")

Run = Callable[[Callable[[Redis], Awaitable[Any]]], Awaitable[Any]]


class Leases:
    """Those of one process. `run` is how Redis is asked, `prefix` that of all keys."""

    def __init__(self, run: Run, prefix: str) -> None:
        self._run = run
        self._prefix = prefix
        self._held: dict[str, tuple[Demand, float]] = {}  # with when it was taken or renewed

    def begin(self, demand: Demand) -> None:
        """It is taken."""
        if demand.budgets or demand.rates.concurrent_requests is not None:
            self._held[demand.id] = demand, asyncio.get_running_loop().time()

    def end(self, demand: Demand) -> None:
        """It is given back, or is about to be."""
        self._held.pop(demand.id, None)

    async def watch(self) -> None:
        """Until cancelled, renew what has used a third of its time."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = asyncio.get_running_loop().time()
            due = [demand for demand, since in self._held.values() if (now - since) * 3000 >= demand.hold]
            for start in range(0, len(due), _BATCH):
                await self._renew(due[start : start + _BATCH], now)

    async def _renew(self, demands: Sequence[Demand], now: float) -> None:
        text = json.dumps([_renewed(demand) for demand in demands], separators=(",", ":"))
        try:
            await self._run(lambda client: client.eval(_RENEW, 1, self._prefix, text))
        except StoreDown:
            return  # the next look tries again, well before the time is over
        except Exception:  # one look that fails must not end all those after it
            log.exception("leases cannot be renewed")
            return
        for demand in demands:
            # One that has ended meanwhile stays ended.
            if demand.id in self._held:
                self._held[demand.id] = demand, now


def _renewed(demand: Demand) -> dict[str, Any]:
    """As the script takes it; what is not limited is not there, for null is something in Lua."""
    request: dict[str, Any] = {
        "id": demand.id,
        "subject": demand.subject,
        "hold": demand.hold,
        "budgets": [{"account": share.account, "cost": share.cost} for share in demand.budgets],
    }
    if demand.rates.concurrent_requests is not None:
        request["slots"] = True
    return request
