"""What a client sees of limits and budgets, with Redis and without."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from aiapp_service.config import BudgetAction, BudgetPeriod, BudgetScope, LimitScope, RateLimitConfig
from aiapp_service.limits import stage
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome
from tests.integration.service.conftest import Serve, Service
from tests.integration.service.limits import conftest
from tests.integration.service.limits.conftest import (
    ACTUAL_TOKENS,
    ACTUAL_USD,
    HELLO,
    Book,
    budget,
    cost,
    keys,
    limited,
    rates,
)
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until


async def ask(api: Service, key: str = "", **fields: Any) -> conftest.Answer:
    return await conftest.ask(api.url, api.http, key, **fields)


@pytest.fixture(params=["redis", "local"])
def store(request: pytest.FixtureRequest) -> Path | None:
    return request.getfixturevalue("redis_file") if request.param == "redis" else None


async def test_requests_per_minute_of_each_key(serve: Serve, store: Path | None, tmp_path: Path) -> None:
    (folder := tmp_path / "keys").mkdir()
    limits = rates(requests_per_minute=2)
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=store, rate_limit=limits, auth=keys(folder, "alice", "bob"))) as api,
    ):
        answer = await ask(api, "alice")
        assert answer.status == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        assert answer.headers["x-ratelimit-remaining-requests"] == "1"
        assert answer.headers["x-ratelimit-reset-requests"] == "30s"
        assert "x-ratelimit-limit-tokens" not in answer.headers
        assert (await ask(api, "alice")).status == 200
        answer = await ask(api, "alice")
        assert answer.status == 429
        assert answer.error["code"] == "rate_limit_exceeded"
        assert "key alice: 2 requests per minute" in answer.error["message"]
        assert 25 <= int(answer.headers["retry-after"]) <= 30
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert (await ask(api, "bob")).status == 200
    assert len(upstream.bodies) == 3


async def test_tokens_are_reserved_and_settled(serve: Serve, store: Path | None) -> None:
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=store, rate_limit=rates(tokens_per_minute=100))) as api,
    ):
        answer = await ask(api, max_tokens=90)
        assert answer.headers["x-ratelimit-remaining-tokens"] == "8"
        assert answer.headers["x-ratelimit-reset-tokens"] == "55.2s"

        async def has_room() -> bool:
            return (await ask(api, max_tokens=70)).status == 200

        await until("the rest was given back", has_room)
        answer = await ask(api, max_tokens=90)
        assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
        assert "100 tokens per minute" in answer.error["message"]


async def test_what_never_fits_is_told_apart(serve: Serve, store: Path | None) -> None:
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=store, rate_limit=rates(tokens_per_minute=100))) as api,
    ):
        answer = await ask(api, max_tokens=200)
        assert answer.status == 429
        assert "max_tokens" in answer.error["message"]
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["x-ratelimit-remaining-tokens"] == "100"
        assert (await ask(api, max_tokens=None)).status == 200, "our own guess does not make it too large"


@pytest.mark.parametrize("stream", [False, True])
async def test_concurrent_requests(serve: Serve, store: Path | None, stream: bool) -> None:
    async with (
        Upstream(before_headers=60).running() as upstream,
        serve(limited(upstream.url, redis_file=store, rate_limit=rates(concurrent_requests=1))) as api,
    ):
        first = asyncio.create_task(ask(api, stream=stream))
        await upstream.asked.wait()
        answer = await ask(api)
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert "1 requests at the same time" in answer.error["message"]
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        upstream.before_headers = 0

        async def is_free() -> bool:
            return (await ask(api)).status == 200

        await until("the slot is free", is_free)


async def test_budget_blocks_until_it_begins_anew(serve: Serve, store: Path | None) -> None:
    budgets = (budget(cost(10), period=BudgetPeriod.DAY),)
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=store, budgets=budgets)) as api,
    ):
        assert (await ask(api)).status == 200
        answer = await ask(api)
        assert (answer.status, answer.error["code"], answer.error["type"]) == (
            429,
            "insufficient_quota",
            "insufficient_quota",
        )
        assert "budget monthly has" in answer.error["message"]
        assert answer.headers["x-should-retry"] == "false"
        again = datetime.strptime(answer.error["message"].rpartition(" ")[2], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert 0 < (again - datetime.now(UTC)).total_seconds() <= 86_400
        with pytest.raises(openai.RateLimitError) as caught:
            async with api.sdk() as client:
                await client.chat.completions.create(model="chat", messages=HELLO, max_tokens=10)
        assert caught.value.code == "insufficient_quota"
    assert len(upstream.bodies) == 1


async def test_budget_counts_what_it_really_cost(serve: Serve, redis_file: Path, book: Book) -> None:
    async with (
        Upstream().running() as upstream,
        serve(
            limited(upstream.url, redis_file=redis_file, budgets=(budget(1), budget(1, name="all", per="App")))
        ) as api,
    ):
        assert (await ask(api, max_tokens=100)).status == 200
        await until("settled", lambda: book.spent == 2 * ACTUAL_USD and not book.reserved and not book.held)
        async with api.sdk() as client:
            stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True, max_tokens=100)
            async for _ in stream:
                assert book.reserved == 2 * cost(100)
        await until("settled", lambda: book.spent == 4 * ACTUAL_USD and not book.reserved and not book.held)
        embedding = {"model": "embed", "input": "some text"}
        async with api.http.post(f"{api.url}/v1/embeddings", json=embedding) as answer:
            assert answer.status == 200
        await until("settled", lambda: book.spent == 4 * ACTUAL_USD + 2 * Decimal("0.002"))
        assert 0.9 < api.metric('ai_budget_remaining_usd{budget="all"}') < 1


@pytest.mark.parametrize("fault", [{"status": 400}, {"status": 500}, {"break_after": 0}], ids=str)
async def test_what_generates_nothing_costs_nothing(
    serve: Serve, redis_file: Path, book: Book, fault: dict[str, Any]
) -> None:
    fields = {"budgets": (budget(1),), "rate_limit": rates(tokens_per_minute=1000, concurrent_requests=5)}
    async with (
        Upstream(**fault).running() as upstream,
        serve(limited(upstream.url, redis_file=redis_file, **fields)) as api,
    ):
        assert (await ask(api, stream="break_after" in fault)).status >= 400
        await until("given back", lambda: not book.held and not book.reserved)
        assert book.spent == 0
        upstream.status, upstream.break_after = 200, None
        answer = await ask(api)
        assert answer.headers["x-ratelimit-remaining-tokens"] == str(1000 - 12)


@pytest.mark.parametrize(
    ("upstream", "stream"),
    [
        (Upstream(before_headers=60), False),
        (Upstream(before_first=60), True),
        (Upstream(between=0.05, words=("x",) * 2000), True),
    ],
    ids=["whole", "before the first token", "mid-stream"],
)
async def test_client_that_leaves_holds_nothing(
    serve: Serve, redis_file: Path, book: Book, upstream: Upstream, stream: bool
) -> None:
    fields = {"budgets": (budget(10),), "rate_limit": rates(tokens_per_minute=10_000, concurrent_requests=5)}
    patient = limited("http://x/v1").models[0].timeouts.model_copy(update={"first_token": 50.0, "total": 100.0})
    async with (
        upstream.running(),
        serve(limited(upstream.url, redis_file=redis_file, timeouts=patient, **fields)) as api,
    ):
        body = {"model": "chat", "messages": HELLO, "stream": stream, "max_tokens": 1000}
        async with aiohttp.ClientSession() as leaving:
            request = asyncio.create_task(leaving.post(f"{api.url}/v1/chat/completions", json=body))
            await upstream.asked.wait()
            assert book.held == 2
            assert book.reserved == cost(1000)
            if upstream.between:
                answer = await request
                await answer.content.readany()
                answer.close()
            else:
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
        await until("given back", lambda: not book.held and not book.reserved)
        assert 0 <= book.spent < cost(1000) / 2
        assert (book.spent > 0) or not upstream.between


async def test_budget_that_warns(serve: Serve, store: Path | None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    budgets = (budget(cost(10), on_exceeded=BudgetAction.WARN),)
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=store, budgets=budgets)) as api,
    ):
        assert "x-aiapp-budget-warning" not in (await ask(api)).headers
        for _ in range(3):
            answer = await ask(api)
            assert (answer.status, answer.headers["x-aiapp-budget-warning"]) == (200, "monthly")
    assert caplog.text.count("budget exceeded") == 1


@pytest.mark.parametrize(
    ("per", "alice_again", "bob"),
    [(BudgetScope.APP, 429, 429), (BudgetScope.KEY, 429, 200), (BudgetScope.TENANT, 429, 200)],
)
async def test_whose_budget_it_is(
    serve: Serve, store: Path | None, tmp_path: Path, per: BudgetScope, alice_again: int, bob: int
) -> None:
    (folder := tmp_path / "keys").mkdir()
    fields = {"budgets": (budget(cost(10), per=per),), "auth": keys(folder, "alice", "bob")}
    async with Upstream().running() as upstream, serve(limited(upstream.url, redis_file=store, **fields)) as api:
        assert (await ask(api, "alice")).status == 200
        assert (await ask(api, "alice")).status == alice_again
        assert (await ask(api, "bob")).status == bob


async def test_unpriced_models_reserve_nothing(serve: Serve, redis_file: Path, book: Book) -> None:
    """What they cost is not known, and nobody can be billed for it."""
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=redis_file, price=None, budgets=(budget("0.001"),))) as api,
    ):
        for _ in range(3):
            assert (await ask(api)).status == 200
        await until("settled", lambda: not book.held)
        assert book.spent == 0


async def test_limits_by_address(serve: Serve, store: Path | None, tmp_path: Path) -> None:
    (folder := tmp_path / "keys").mkdir()
    limits = rates(requests_per_minute=2, per=LimitScope.IP)
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=store, rate_limit=limits, auth=keys(folder, "alice", "bob"))) as api,
    ):
        assert [(await ask(api, name)).status for name in ("alice", "bob", "alice")] == [200, 200, 429]


async def test_a_keys_own_limit_takes_the_place_of_the_apps(
    serve: Serve, store: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "keys").mkdir()
    own = RateLimitConfig(requests_per_minute=1)
    admit = stage.Limits.admit

    async def of_alice(limits: stage.Limits, exchange: Exchange, following: Next) -> Outcome:
        caller = exchange.call.principal
        exchange.call.principal = replace(caller, rate_limit=own if caller.key == "alice" else None)
        return await admit(limits, exchange, following)

    monkeypatch.setattr(stage.Limits, "admit", of_alice)
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=store, auth=keys(folder, "alice", "bob"))) as api,
    ):
        assert [(await ask(api, "alice")).status for _ in range(2)] == [200, 429]
        assert [(await ask(api, "bob")).status for _ in range(3)] == [200, 200, 200]
        assert "x-ratelimit-limit-requests" not in (await ask(api, "bob")).headers


async def test_a_new_configuration_forgets_nothing(serve: Serve, store: Path | None) -> None:
    async with (
        Upstream().running() as upstream,
        serve(first := limited(upstream.url, redis_file=store, rate_limit=rates(requests_per_minute=2))) as api,
    ):
        assert [(await ask(api)).status for _ in range(3)] == [200, 200, 429]
        api.gateway.replace(first.model_copy(update={"rate_limit": rates(requests_per_minute=4)}))
        assert [(await ask(api)).status for _ in range(3)] == [200, 200, 429]
        api.gateway.replace(first.model_copy(update={"rate_limit": rates()}))
        assert (await ask(api)).status == 200


async def test_usage_is_what_was_used(serve: Serve, redis_file: Path) -> None:
    async with (
        Upstream().running() as upstream,
        serve(limited(upstream.url, redis_file=redis_file, rate_limit=rates(tokens_per_minute=60))) as api,
    ):
        for _ in range(2):
            assert (await ask(api, max_tokens=20)).status == 200

        async def settled() -> bool:
            left = int((await ask(api, max_tokens=1000)).headers["x-ratelimit-remaining-tokens"])
            # One drains each second.
            return 0 <= left - (60 - 2 * ACTUAL_TOKENS) < 15

        await until("both settled", settled)
