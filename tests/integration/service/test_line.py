"""Many ask Redis over one connection, and each gets its own answer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from aiapp_service.config import RedisConfig
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.redis import FastRedis
from tests.integration.servers.redis import RedisServer
from tests.integration.service.waiting import until


@pytest.fixture
async def store(redis: RedisServer, tmp_path: Path) -> AsyncIterator[FastRedis]:
    file = tmp_path / "url"
    file.write_text(redis.url)
    opened = FastRedis(RedisConfig(url_file=file))
    yield opened
    await opened.close()


async def answered(store: FastRedis) -> bool:
    try:
        return await store.ask("PING", deadline=2) == b"PONG"
    except StoreDown:
        return False


async def until_it_answers(store: FastRedis) -> None:
    await until("Redis answers", lambda: answered(store))


async def test_each_gets_its_own_answer(store: FastRedis) -> None:
    answers = await asyncio.gather(*(store.ask("ECHO", f"{number} \u00fc", deadline=5) for number in range(300)))
    assert answers == [f"{number} \u00fc".encode() for number in range(300)]


async def test_they_share_one_connection(store: FastRedis, redis: RedisServer) -> None:
    await store.ask("PING", deadline=5)
    with Redis.from_url(redis.url) as direct:
        before = direct.info("stats")["total_connections_received"]
        await asyncio.gather(*(store.ask("PING", deadline=5) for _ in range(100)))
        assert direct.info("stats")["total_connections_received"] == before


async def test_a_refusal_is_its_own_asker_s(store: FastRedis) -> None:
    wrong, unknown, right = await asyncio.gather(
        store.ask("NO SUCH COMMAND", deadline=5),
        store.ask("EVALSHA", "0" * 40, 0, deadline=5),
        store.ask("ECHO", b"\xff", deadline=5),
        return_exceptions=True,
    )
    assert isinstance(wrong, ResponseError)
    assert isinstance(unknown, NoScriptError)
    assert right == b"\xff"
    assert not store.down


async def test_whoever_leaves_takes_nobodys_answer(store: FastRedis) -> None:
    await store.ask("PING", deadline=5)
    leaving = asyncio.create_task(store.ask("ECHO", "leaving", deadline=5))
    staying = asyncio.create_task(store.ask("ECHO", "staying", deadline=5))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"staying"
    assert await store.ask("ECHO", "later", deadline=5) == b"later"


async def test_an_answer_that_does_not_come_takes_the_line_with_it(store: FastRedis, redis: RedisServer) -> None:
    await store.ask("PING", deadline=5)
    with Redis.from_url(redis.url) as direct:
        direct.client_pause(1_000)
        first, second = await asyncio.gather(
            store.ask("ECHO", "first", deadline=0.05), store.ask("ECHO", "second", deadline=5), return_exceptions=True
        )
    assert [type(first), type(second)] == [StoreDown, StoreDown]
    assert isinstance(first, StoreDown)
    assert first.sent, "Redis may have done it"
    await until_it_answers(store)
    assert await store.ask("ECHO", "not the first", deadline=5) == b"not the first"


async def test_all_hear_of_a_lost_connection_and_the_next_one_is_found(store: FastRedis, redis: RedisServer) -> None:
    await store.ask("PING", deadline=5)
    redis.server.stop()
    try:
        with pytest.raises(StoreDown):
            await store.ask("PING", deadline=5)
        # It is left alone for a moment: what is not sent has not been done.
        with pytest.raises(StoreDown) as refused:
            await store.ask("PING", deadline=5)
        assert not refused.value.sent
    finally:
        redis.server.start()
    await until_it_answers(store)
