"""Commands that nobody waits for reach a real Redis: in order, together, and after it was away."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from aiapp_service.config import RedisConfig
from aiapp_service.stores import outbox
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.outbox import Outbox
from aiapp_service.stores.redis import FastRedis
from tests.integration.servers.redis import RedisServer
from tests.integration.service.waiting import until


@pytest.fixture
async def store(redis: RedisServer, tmp_path: Path) -> AsyncIterator[FastRedis]:
    file = tmp_path / "redis-url"
    file.write_text(redis.url)
    opened = FastRedis(RedisConfig(url_file=file))
    yield opened
    await opened.close()


@pytest.fixture
async def direct(redis: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis.url, decode_responses=True) as client:
        yield client


@asynccontextmanager
async def sending(store: FastRedis, most_bytes: int = outbox.MOST_BYTES) -> AsyncIterator[Outbox]:
    box = Outbox(store, most_bytes)
    box.start()
    try:
        yield box
    finally:
        await box.close()


async def test_everything_arrives_in_order(store: FastRedis, direct: Redis) -> None:
    wanted = [str(number) for number in range(3 * outbox.BATCH + 7)]
    async with sending(store) as box:
        for number in wanted:
            box.put([("RPUSH", "list", number)])
        await until("all sent", lambda: not len(box))
        assert await direct.lrange("list", 0, -1) == wanted


async def test_what_is_put_last_is_sent_before_the_end(store: FastRedis, direct: Redis) -> None:
    async with sending(store) as box:
        box.put([("RPUSH", "list", n) for n in range(2 * outbox.BATCH)])
    assert await direct.llen("list") == 2 * outbox.BATCH


async def test_a_command_that_is_refused_keeps_none_of_the_others(store: FastRedis, direct: Redis, caplog) -> None:
    async with sending(store) as box:
        box.put([("SET", "text", "secret-text"), ("INCR", "text"), ("SET", "after", "1")])
    assert await direct.get("after") == "1"
    assert "Redis refuses a command" in caplog.text
    assert "secret-text" not in caplog.text


async def test_commands_outlast_a_redis_that_is_stopped(redis: RedisServer, store: FastRedis) -> None:
    async with sending(store) as box:
        box.put([("SET", "before", "1")])
        await until("sent", lambda: not len(box))
        redis.server.stop(signal.SIGKILL)
        box.put([("SET", f"key-{n}", n) for n in range(10)])
        await until("noticed", lambda: store.down)
        assert len(box) == 10
        redis.server.start()
        await until("sent", lambda: not len(box))
    async with Redis.from_url(redis.url) as client:
        assert await client.dbsize() == 11


async def test_commands_outlast_a_redis_that_hangs(redis: RedisServer, store: FastRedis, monkeypatch) -> None:
    monkeypatch.setattr(outbox, "DEADLINE_SECONDS", 0.2)
    process = redis.server._process
    assert process is not None
    async with sending(store) as box:
        os.kill(process.pid, signal.SIGSTOP)
        box.put([("SADD", "set", n) for n in range(10)])
        await until("noticed", lambda: store.down)
        box.put([("SADD", "set", n) for n in range(10, 20)])
        os.kill(process.pid, signal.SIGCONT)
        await until("sent", lambda: not len(box))
    async with Redis.from_url(redis.url) as client:
        assert await client.scard("set") == 20


async def test_full_redis_is_asked_again(store: FastRedis, direct: Redis) -> None:
    await direct.config_set("maxmemory", "1")
    async with sending(store) as box:
        box.put([("SET", "key", "1")])
        await until("refused", lambda: box._said_at > 0)
        assert len(box) == 1
        await direct.config_set("maxmemory", "0")
        await until("sent", lambda: not len(box))
    assert await direct.get("key") == "1"


async def test_what_is_too_much_drops_the_oldest(redis: RedisServer, store: FastRedis, direct: Redis) -> None:
    redis.server.stop()
    async with sending(store, most_bytes=3000) as box:
        with pytest.raises(StoreDown):
            await store.run(lambda client: client.ping())
        box.put([("RPUSH", "list", n) for n in range(25)])
        kept = len(box)
        assert 10 < kept < 20
        redis.server.start()
        await until("sent", lambda: not len(box))
    assert await direct.lrange("list", 0, -1) == [str(n) for n in range(25 - kept, 25)]


async def test_closing_does_not_wait_for_a_redis_that_is_gone(redis: RedisServer, store: FastRedis, caplog) -> None:
    redis.server.stop()
    async with sending(store) as box:
        box.put([("SET", "key", "1")])
    assert "not sent to Redis, and lost" in caplog.text
