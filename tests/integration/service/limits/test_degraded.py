"""While Redis is away requests go on by this replica's own count, or stop; what they cost is counted later, once."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
import redis as driver

from aiapp_service.stores import outbox
from aiapp_service.stores import redis as redis_store
from aiapp_service.stores.redis import DEADLINE_SECONDS
from tests.integration.servers.redis import RedisServer
from tests.integration.service.conftest import FAST, Serve, Service
from tests.integration.service.limits import conftest
from tests.integration.service.limits.conftest import ACTUAL_USD, Answer, Book, budget, cost, hanging, limited, rates
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until


async def ask(api: Service) -> Answer:
    return await conftest.ask(api.url, api.http)


@pytest.fixture(autouse=True)
def _hurry(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "DEADLINE_SECONDS", 0.3)
    # As it is outside of these tests.
    monkeypatch.setattr(redis_store, "DEADLINE_SECONDS", DEADLINE_SECONDS)


async def test_a_redis_that_hangs(serve: Serve, redis: RedisServer, redis_file: Path, book: Book) -> None:
    fields = {
        "budgets": (budget(2 * cost(10)),),
        "rate_limit": rates(requests_per_minute=7, concurrent_requests=100),
        "timeouts": FAST.model_copy(update={"total": 100.0}),
    }
    async with Upstream().running() as upstream, serve(limited(upstream.url, redis_file=redis_file, **fields)) as api:
        assert (await ask(api)).status == 200
        await until("settled", lambda: book.spent == ACTUAL_USD)
        with hanging(redis):
            answers = [await ask(api) for _ in range(8)]
            # Budgets are not looked at, rates are: by this replica alone, which begins with nothing.
            assert [answer.status for answer in answers] == [200] * 7 + [429]
            assert answers[0].headers["x-ratelimit-remaining-requests"] == "6"
        await until("counted", lambda: book.spent == 8 * ACTUAL_USD)

        async def is_asked_again() -> bool:
            answer = await ask(api)
            return answer.status == 429 and answer.error["code"] == "insufficient_quota"

        await until("budgets count again", is_asked_again)
        await until("nothing is held", lambda: not book.held)
        assert (book.spent, book.reserved) == (8 * ACTUAL_USD, 0)


async def test_request_under_way_when_redis_hangs_is_settled_once(
    serve: Serve, redis: RedisServer, redis_file: Path, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    sent = outbox.Outbox._sent

    async def noted(box: outbox.Outbox, commands: list[outbox.Command]) -> list[outbox.Command]:
        tried.append(len(commands))
        return await sent(box, commands)

    monkeypatch.setattr(outbox.Outbox, "_sent", noted)
    fields = {"budgets": (budget(1),), "rate_limit": rates(concurrent_requests=3)}
    async with (
        Upstream(before_headers=0.3).running() as upstream,
        serve(limited(upstream.url, redis_file=redis_file, **fields)) as api,
    ):
        calls = [asyncio.create_task(ask(api)) for _ in range(3)]
        await until("all under way", lambda: len(upstream.bodies) == 3)
        assert book.held == 6
        with hanging(redis):
            assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 3
            # Several tries, each of which Redis will have heard of when it goes on.
            await until("tried", lambda: len(tried) >= 2)
        await until("settled", lambda: book.spent >= 3 * ACTUAL_USD and not book.held)
        # The tries that were given up arrive as well: another request comes after them.
        assert (await ask(api)).status == 200
        await until("settled", lambda: not book.held and book.spent >= 4 * ACTUAL_USD)
        assert (book.spent, book.reserved) == (4 * ACTUAL_USD, 0)


async def test_a_redis_that_is_killed_and_comes_back(
    serve: Serve, redis: RedisServer, redis_file: Path, book: Book
) -> None:
    """Its scripts are gone then, its counts are not."""
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=redis_file, budgets=(budget(1),), fail_open=False)) as api,
    ):
        assert (await ask(api)).status == 200
        await until("settled", lambda: book.spent == ACTUAL_USD)
        redis.server.stop()
        answer = await ask(api)
        assert (answer.status, answer.headers["retry-after"], answer.error["code"]) == (503, "1", "limits_unavailable")
        redis.server.start()

        async def goes_on() -> bool:
            return (await ask(api)).status == 200

        await until("it goes on by itself", goes_on)
        await until("settled", lambda: book.spent == 2 * ACTUAL_USD and not book.held)
    assert len(upstream.bodies) == 2


async def test_a_redis_that_was_never_there(serve: Serve, redis: RedisServer, redis_file: Path, book: Book) -> None:
    redis.server.stop()
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=redis_file, budgets=(budget("0.001"),))) as api,
    ):
        assert (await ask(api)).status == 200
        redis.server.start()
        await until("counted", lambda: book.spent == ACTUAL_USD)

        async def is_blocked() -> bool:
            return (await ask(api)).status == 429

        await until("the budget counts", is_blocked)


@pytest.mark.parametrize(("fail_open", "status"), [(True, 200), (False, 503)])
async def test_a_redis_that_takes_no_writes(
    serve: Serve, redis: RedisServer, redis_file: Path, book: Book, fail_open: bool, status: int
) -> None:
    with driver.Redis.from_url(redis.url) as client:
        async with (
            Upstream().running() as upstream,
            serve(limited(upstream.url, redis_file=redis_file, budgets=(budget(1),), fail_open=fail_open)) as api,
        ):
            client.config_set("maxmemory", "1")
            assert (await ask(api)).status == status
            client.config_set("maxmemory", "0")
            assert (await ask(api)).status == 200
            await until("counted", lambda: book.spent == (1 + fail_open) * ACTUAL_USD and not book.held)
            assert book.reserved == Decimal(0)
