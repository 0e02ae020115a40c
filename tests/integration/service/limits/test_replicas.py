"""Several replicas, one Redis: what is allowed is allowed once, and a replica that is killed leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import aiohttp
import pytest

from aiapp_service.config import PriceConfig, ServiceConfig, TimeoutsConfig, dump
from aiapp_service.limits import demands
from tests.integration.servers.processes import free_port
from tests.integration.service.conftest import Serve
from tests.integration.service.limits.conftest import (
    ACTUAL_USD,
    Book,
    ask,
    budget,
    cost,
    limited,
    rates,
)
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until

REPLICAS = 3
CALLS = 200


@asynccontextmanager
async def process(config: ServiceConfig, folder: Path) -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service as a program of its own."""
    port = free_port()
    file = folder / f"config-{port}.yaml"
    file.write_text(dump(config))
    command = [sys.executable, "-m", "aiapp_service", "api", "--config", str(file), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    log = folder / f"log-{port}"
    with log.open("wb") as out, _started(command, out) as running:
        try:
            async with aiohttp.ClientSession() as http:
                await until("it answers", lambda: _answers(http, url), seconds=30)
            yield url, running
        finally:
            if running.poll() is None:
                running.kill()


def _started(command: list[str], out: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=out, stderr=out)


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _decided(url: str, http: aiohttp.ClientSession, **fields: Any) -> int:
    """The status of one call; whoever is told that Redis was too slow for the deadline comes again."""
    while (answer := await ask(url, http, **fields)).status == 503:  # noqa: ASYNC110  # it waits as long as it was told to
        await asyncio.sleep(float(answer.headers["retry-after"]))
    return answer.status


async def _statuses(urls: list[str], http: aiohttp.ClientSession, calls: int, **fields: Any) -> list[int]:
    """Of so many calls at once, in turn to each replica."""
    return sorted(await asyncio.gather(*(_decided(urls[n % len(urls)], http, **fields) for n in range(calls))))


async def test_a_budget_for_ten_admits_ten_of_two_hundred(tmp_path: Path, redis_file: Path, book: Book) -> None:
    """Three processes. They would rather refuse than guess, and each call costs what was estimated."""
    price = PriceConfig(input_per_1m=Decimal(0), output_per_1m=Decimal(2000))
    fields = {"price": price, "budgets": (budget("0.08"),), "fail_open": False}
    async with Upstream(before_headers=0.5).running() as upstream, AsyncExitStack() as stack:
        config = limited(upstream.url, redis_file=redis_file, **fields)
        starting = [stack.enter_async_context(process(config, tmp_path)) for _ in range(REPLICAS)]
        urls = [url for url, _ in await asyncio.gather(*starting)]
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        statuses = await _statuses(urls, http, CALLS, max_tokens=len(WORDS))
        assert statuses == [200] * 10 + [429] * (CALLS - 10)
        await until("settled", lambda: not book.held)
        assert book.spent == Decimal("0.08")
    assert len(upstream.bodies) == 10


async def test_rates_are_counted_together(serve: Serve, redis_file: Path, book: Book) -> None:
    limits = rates(requests_per_minute=30, concurrent_requests=20)
    async with Upstream(before_headers=0.5).running() as upstream, AsyncExitStack() as stack:
        config = limited(upstream.url, redis_file=redis_file, rate_limit=limits, fail_open=False)
        apis = [await stack.enter_async_context(serve(config)) for _ in range(REPLICAS)]
        urls, http = [api.url for api in apis], apis[0].http
        assert (await _statuses(urls, http, 60)).count(200) == 20, "at the same time"
        # A slot is given back after the answer, with those of other requests.
        await until("all slots are free", lambda: book.held == 0)
        # Half a second brings no more than one of 30 a minute.
        assert (await _statuses(urls, http, 60)).count(200) in (10, 11), "in a minute"


@pytest.fixture
def short_timeouts() -> TimeoutsConfig:
    """What a replica that was killed held is free after a second, and a margin."""
    return TimeoutsConfig(connect=0.5, first_token=1.0, idle=1.0, total=1.0)


async def test_killed_replica_holds_nothing_for_long(
    tmp_path: Path, serve: Serve, redis_file: Path, book: Book, short_timeouts: TimeoutsConfig
) -> None:
    fields = {
        "rate_limit": rates(concurrent_requests=4),
        "budgets": (budget(4 * cost(10)),),
        "timeouts": short_timeouts,
        "fail_open": False,
    }
    async with Upstream(before_headers=0.9).running() as upstream, aiohttp.ClientSession() as http:
        config = limited(upstream.url, redis_file=redis_file, **fields)
        async with process(config, tmp_path) as (url, running):
            calls = [asyncio.create_task(_decided(url, http)) for _ in range(4)]
            await until("all under way", lambda: len(upstream.bodies) == 4)
            os.kill(running.pid, signal.SIGKILL)
            assert all(isinstance(e, aiohttp.ClientError) for e in await asyncio.gather(*calls, return_exceptions=True))
        upstream.before_headers = 0
        async with serve(config) as api:
            assert book.held == 8
            assert (await ask(api.url, http)).status == 429

            async def is_free() -> bool:
                return (await ask(api.url, http)).status == 200

            await until("free again", is_free, seconds=short_timeouts.total + demands.MARGIN_SECONDS + 2)
            await until("settled", lambda: not book.held)
            assert (await ask(api.url, http)).status == 200
            await until("settled", lambda: book.spent == 2 * ACTUAL_USD)
            assert book.reserved == 0


async def test_a_replica_that_is_told_to_stop_settles_first(
    tmp_path: Path, redis_file: Path, book: Book, short_timeouts: TimeoutsConfig
) -> None:
    patient = short_timeouts.model_copy(update={"total": 30.0})
    async with Upstream(before_headers=0.5).running() as upstream, aiohttp.ClientSession() as http:
        config = limited(upstream.url, redis_file=redis_file, budgets=(budget(1),), timeouts=patient)
        async with process(config, tmp_path) as (url, running):
            call = asyncio.create_task(ask(url, http))
            await upstream.asked.wait()
            running.terminate()
            assert (await call).status == 200
            await until("ended", lambda: running.poll() is not None)
            assert running.returncode == 0
    assert (book.spent, book.held) == (ACTUAL_USD, 0)
