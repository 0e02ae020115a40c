"""What a request holds is renewed for as long as it goes on, and for no longer."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aiapp_service.config import TimeoutsConfig
from aiapp_service.limits import demands
from tests.integration.service.conftest import Serve
from tests.integration.service.limits.conftest import HELLO, Book, ask, budget, cost, limited, rates
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

LEASE = 3.0


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demands, "LEASE_SECONDS", LEASE)


async def test_stream_keeps_its_slot_and_its_share_to_its_end(serve: Serve, redis_file: Path, book: Book) -> None:
    """The only slot, and all of the budget, are held by a stream of three leases."""
    fields: dict[str, Any] = {
        "rate_limit": rates(concurrent_requests=1),
        "budgets": (budget(cost(10)),),
        "timeouts": TimeoutsConfig(idle=5.0, total=60.0),
    }
    async with (
        Upstream(between=0.3, words=("x",) * 30).running() as upstream,
        serve(limited(upstream.url, redis_file=redis_file, **fields)) as api,
    ):
        body = {"model": "chat", "messages": HELLO, "stream": True, "max_tokens": 10}
        refused = 0
        async with api.http.post(f"{api.url}/v1/chat/completions", json=body) as answer:
            reading = asyncio.create_task(answer.read())
            while not reading.done():
                assert book.held == 2 or reading.done()
                refused += (await ask(api.url, api.http)).status == 429 and not reading.done()
                await asyncio.wait([reading], timeout=0.5)
            assert (await reading).endswith(b"[DONE]\n\n")
        assert refused > 2 * LEASE
        await until("given back", lambda: not book.held and not book.reserved)


async def test_ended_one_is_not_renewed(serve: Serve, redis_file: Path, book: Book) -> None:
    fields: dict[str, Any] = {"rate_limit": rates(concurrent_requests=5), "timeouts": TimeoutsConfig(total=60.0)}
    async with (
        Upstream(before_headers=60).running() as upstream,
        serve(limited(upstream.url, redis_file=redis_file, **fields)) as api,
    ):
        async with aiohttp.ClientSession() as leaving:
            request = asyncio.create_task(ask(api.url, leaving))
            await upstream.asked.wait()
            await asyncio.sleep(LEASE)  # longer than it would last by itself
            assert book.held == 1
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
        await until("given back", lambda: not book.held)
        await asyncio.sleep(LEASE)
        assert book.held == 0


async def test_without_redis_nothing_ends_by_itself(serve: Serve) -> None:
    fields: dict[str, Any] = {"rate_limit": rates(concurrent_requests=1), "timeouts": TimeoutsConfig(total=60.0)}
    async with (
        Upstream(before_headers=2 * LEASE).running() as upstream,
        serve(limited(upstream.url, **fields)) as api,
    ):
        request = asyncio.create_task(ask(api.url, api.http))
        await upstream.asked.wait()
        await asyncio.sleep(1.5 * LEASE)
        assert (await ask(api.url, api.http)).status == 429
        assert (await request).status == 200
