"""Asking a real Redis: one call for each request, or for many that come together, and nothing is kept by accident."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis as driver

from aiapp_service.config import RedisConfig
from aiapp_service.limits.demand import Demand, Limit, Settlement
from aiapp_service.limits.shared import SharedLimits
from aiapp_service.stores.outbox import Outbox
from aiapp_service.stores.redis import FastRedis
from tests.integration.servers.redis import RedisServer
from tests.integration.service.limits.conftest import Book, hanging, rates
from tests.integration.service.waiting import until

DEMAND = Demand("id", "key alice", rates(requests_per_minute=1000, concurrent_requests=1000), tokens=1, hold=60_000)
MANY = 300


@pytest.fixture
async def shared(redis_file: Path) -> AsyncIterator[SharedLimits]:
    store = FastRedis(RedisConfig(url_file=redis_file))
    box = Outbox(store)
    box.start()
    opened = SharedLimits(store, box, "app")
    await opened.start()
    yield opened
    opened.close()
    await box.close()
    await store.close()


@pytest.fixture
def calls(redis: RedisServer, shared: SharedLimits) -> "Calls":
    return Calls(redis)


class Calls:
    """How often Redis was asked to run a script since the beginning."""

    def __init__(self, redis: RedisServer) -> None:
        self._url = redis.url
        with driver.Redis.from_url(redis.url) as client:
            client.config_resetstat()

    def __call__(self, command: str) -> int:
        with driver.Redis.from_url(self._url) as client:
            return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_each_request_asks_once(shared: SharedLimits, calls: Calls) -> None:
    for number in range(5):
        assert (await shared.admit(replace(DEMAND, id=f"{number}"))).refused is None
    assert calls("evalsha") == 5
    assert calls("eval") == 0


async def test_many_at_once_ask_together(shared: SharedLimits, calls: Calls, book: Book) -> None:
    few = replace(DEMAND, rates=rates(concurrent_requests=100))
    demands = [replace(few, id=f"{number}") for number in range(MANY)]
    verdicts = await asyncio.gather(*(shared.admit(demand) for demand in demands))
    assert Counter(verdict.refused for verdict in verdicts) == {None: 100, Limit.CONCURRENT: MANY - 100}
    assert calls("evalsha") < 20
    for demand in demands:
        shared.settle(Settlement(demand))
    await until("settled", lambda: not book.held)
    assert calls("eval") < 5


async def test_whoever_leaves_before_the_answer_holds_nothing(
    shared: SharedLimits, redis: RedisServer, book: Book
) -> None:
    """Some of them are being asked for, some have not been yet."""
    with hanging(redis):
        waiting = [asyncio.create_task(shared.admit(replace(DEMAND, id=f"{number}"))) for number in range(MANY)]
        await until("two batches are under way", lambda: 0 < len(shared._asked) < MANY - 100)
        for task in waiting[::2]:
            task.cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False] * (MANY // 2)
    await until("only those that stayed hold something", lambda: book.held == MANY // 2)


async def test_whoever_leaves_at_the_very_moment_of_the_answer_holds_nothing(
    shared: SharedLimits, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    asked = loop.create_future()
    monkeypatch.setattr(loop, "create_future", lambda: asked)
    task = asyncio.create_task(shared.admit(DEMAND))
    # Before the task itself hears of the answer.
    asked.add_done_callback(lambda _: task.cancel())
    await asyncio.sleep(0)
    monkeypatch.undo()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked.result().refused is None
    await until("given back", lambda: not book.held)


async def test_scripts_that_redis_has_lost_are_sent_again(shared: SharedLimits, redis: RedisServer, book: Book) -> None:
    with driver.Redis.from_url(redis.url) as client:
        client.script_flush()
    assert (await shared.admit(DEMAND)).refused is None
    shared.settle(Settlement(DEMAND))
    await until("settled", lambda: not book.held)
