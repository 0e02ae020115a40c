"""Look-ups in a crowd share commands, and each gets what is its own."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from aiapp_service.cache.exact import ExactCache
from aiapp_service.cache.stored import Stored
from aiapp_service.config import RedisConfig
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.redis import FastRedis

COUNT = 200


@pytest.fixture
async def cache(redis, tmp_path) -> AsyncIterator[ExactCache]:
    file = tmp_path / "url"
    file.write_text(redis.url)
    store = FastRedis(RedisConfig(url_file=file))
    yield ExactCache(store, 60.0)
    await store.close()


def stored(number: int) -> Stored:
    return Stored(f"answer {number} \u00fc".encode(), None, time.time())


def key(number: int) -> bytes:
    return b"\xff%d" % number


def commands(redis, name: str) -> int:
    with Redis.from_url(redis.url) as client:
        return int(client.info("commandstats").get(f"cmdstat_{name}", {}).get("calls", 0))


async def test_each_gets_its_own_and_they_share_commands(cache, redis) -> None:
    for number in range(0, COUNT, 2):
        await cache.put(key(number), stored(number))
    before = commands(redis, "mget")
    found = await asyncio.gather(*(cache.get(key(number)) for number in range(COUNT)))
    bodies = [entry.body if entry else None for entry in found]
    assert bodies == [None if number % 2 else stored(number).body for number in range(COUNT)]
    assert commands(redis, "mget") - before < COUNT / 10


async def test_one_that_gives_up_does_not_disturb_the_others(cache) -> None:
    await cache.put(key(1), stored(1))
    leaving, staying = (asyncio.create_task(cache.get(key(1))) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).body == stored(1).body
    assert (await cache.get(key(1))).body == stored(1).body


async def test_all_hear_that_redis_is_down(cache, redis) -> None:
    redis.server.stop()
    try:
        found = await asyncio.gather(*(cache.get(key(number)) for number in range(100)), return_exceptions=True)
        assert {type(entry) for entry in found} == {StoreDown}
    finally:
        redis.server.start()
