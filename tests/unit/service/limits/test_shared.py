"""Who asks Redis, and when: nobody who comes is left waiting."""

import asyncio
import json
from typing import Any, cast

from aiapp_service.config import RateLimitConfig
from aiapp_service.limits.demand import Demand
from aiapp_service.limits.shared import SharedLimits
from aiapp_service.stores.outbox import Outbox
from aiapp_service.stores.redis import FastRedis

DEMAND = Demand("id", "key alice", RateLimitConfig(requests_per_minute=1000), tokens=1, hold=60_000)
VERDICT = {"wait": 0, "requests": 1, "tokens": 1, "spent": [], "budget": 0, "over": []}


class Store:
    """Admits everybody, and gives all that wait their answers in the same turn of the loop."""

    def __init__(self) -> None:
        self.calls = 0
        self.answers = asyncio.Event()

    async def run(self, *_command: Any, **_options: Any) -> None:
        raise AssertionError("no request lasts long enough to be renewed")

    async def ask(self, *command: Any, **_options: Any) -> bytes:
        self.calls += 1
        await self.answers.wait()
        return json.dumps([VERDICT] * len(json.loads(command[-1]))).encode()


async def test_who_comes_as_all_that_ask_are_done_is_answered() -> None:
    """Two batches end in one turn of the loop; whoever they answer comes again at once."""
    store = Store()
    shared = SharedLimits(cast("FastRedis", store), cast("Outbox", None), "app")

    async def twice() -> None:
        await shared.admit(DEMAND)
        await shared.admit(DEMAND)

    clients = []
    for _ in range(2):
        clients.append(asyncio.create_task(twice()))
        # Until it waits for its answer.
        for _ in range(10):
            await asyncio.sleep(0)
    assert store.calls == 2
    async with asyncio.timeout(5):
        store.answers.set()
        await asyncio.gather(*clients)
