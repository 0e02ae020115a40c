"""Whatever goes down while a batch runs: every line has one result, is paid once as far as that can be, billed once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiapp_service.config import BudgetConfig, BudgetPeriod, BudgetScope
from tests.integration.servers.objects import ObjectServer
from tests.integration.servers.postgres import Postgres
from tests.integration.servers.redis import RedisServer
from tests.integration.service.batches.stand import Stand, asking, stand
from tests.integration.service.waiting import until

LINES_AT_ONCE = 32


@pytest.fixture
def stood(tmp_path: Path, postgres_server: Postgres, redis: RedisServer, object_store: ObjectServer) -> Any:
    return partial(stand, tmp_path, postgres_server, redis, object_store, "batch_faults")


@pytest.fixture
async def app(stood: Any) -> AsyncIterator[Stand]:
    opened: AbstractAsyncContextManager[Stand] = stood()
    async with opened as running:
        yield running


async def completed(app: Stand, batch: Any, total: int) -> None:
    """All lines are in the output, once, and in the ledger, once."""
    ended = await app.ended(batch, seconds=90)
    assert ended.status == "completed"
    output = await app.lines(ended.output_file_id)
    assert [line["custom_id"] for line in output] == [f"request-{n}" for n in range(total)]
    assert ended.request_counts is not None
    assert ended.request_counts.model_dump() == {"total": total, "completed": total, "failed": 0}
    rows = app.books.rows()
    assert len(rows) == total
    assert {row["request_id"] for row in rows} == {f"{batch.id}:{n + 1}" for n in range(total)}
    assert ended.usage is not None
    assert ended.usage.input_tokens == 10 * total


async def test_killed_worker_repeats_no_line_that_has_a_result(app: Stand) -> None:
    app.upstream.seconds = 0.1
    batch = await app.create([asking(n) for n in range(300)])
    await until("it is under way", lambda: len(app.upstream.answered) >= 100)
    app.worker.kill()
    done = [row["number"] - 1 for row in app.rows("SELECT number FROM batch_lines")]
    assert 0 < len(done) < 300
    await app.worker.start()
    await completed(app, batch, 300)
    assert {app.upstream.asked[f"line {n}"] for n in done} == {1}
    twice = [line for line, times in app.upstream.asked.items() if times > 1]
    assert len(twice) <= 2 * LINES_AT_ONCE, "those under way, and those whose result was on its way to the database"
    assert max(app.upstream.asked.values()) <= 2


async def test_worker_that_is_told_to_stop_loses_nothing_that_is_paid(app: Stand) -> None:
    app.upstream.seconds = 0.5
    batch = await app.create([asking(n) for n in range(400)])
    await until("it is under way", lambda: len(app.upstream.answered) >= 32)
    assert await asyncio.to_thread(app.worker.stop) == 0, "the upstream goes on meanwhile"
    await app.worker.start()
    await completed(app, batch, 400)
    assert max(app.upstream.asked.values()) == 1


async def test_redis_down_meanwhile(app: Stand) -> None:
    app.upstream.seconds = 0.5
    batch = await app.create([asking(n) for n in range(200)])
    await until("it is under way", lambda: len(app.upstream.answered) >= 40)
    app.redis.server.stop()
    try:
        await until("it goes on without", lambda: len(app.upstream.answered) >= 150, seconds=40)
    finally:
        app.redis.server.start()
    await completed(app, batch, 200)
    assert max(app.upstream.asked.values()) == 1


async def test_redis_down_when_it_is_made(app: Stand) -> None:
    name = await app.upload([asking(0)])
    app.redis.server.stop()
    try:
        batch = await app.sdk().batches.create(
            input_file_id=name, endpoint="/v1/chat/completions", completion_window="24h"
        )
    finally:
        app.redis.server.start()
    app.redis.flush()
    app.books.execute("UPDATE batches SET created_at = now() - interval '1 minute'")
    await completed(app, batch, 1)


async def test_object_store_down_when_it_is_done(app: Stand) -> None:
    app.upstream.seconds = 0.3
    batch = await app.create([asking(n) for n in range(100)])
    await until("it is under way", lambda: len(app.upstream.answered) >= 10)
    app.objects.server.stop()

    async def finalizing() -> bool:
        return (await app.sdk().batches.retrieve(batch.id)).status == "finalizing"

    try:
        await until("it is finalizing", finalizing, seconds=40)
        assert (await app.sdk().batches.retrieve(batch.id)).output_file_id is None
    finally:
        app.objects.server.start()
    await completed(app, batch, 100)
    assert len(app.rows("SELECT id FROM files WHERE purpose = 'batch_output' AND status = 'processed'")) == 1


async def test_database_down_meanwhile(app: Stand, postgres_server: Postgres) -> None:
    app.upstream.seconds = 0.3
    batch = await app.create([asking(n) for n in range(200)])
    await until("it is under way", lambda: len(app.upstream.answered) >= 40)
    postgres_server.server.stop()
    postgres_server.server.start()
    await completed(app, batch, 200)
    assert max(app.upstream.asked.values()) == 1


async def test_budget_that_is_exhausted_pauses_and_more_of_it_goes_on(stood: Any, tmp_path: Path) -> None:
    budget = BudgetConfig(name="daily", per=BudgetScope.TENANT, period=BudgetPeriod.DAY, limit_usd=Decimal(1))
    async with stood(budgets=(budget,), fail_open=False) as app:
        batch = await app.create([asking(n, max_tokens=20) for n in range(100)])
        found: Any = None

        async def paused() -> bool:
            nonlocal found
            found = await app.sdk().batches.retrieve(batch.id)
            return bool(getattr(found, "x_paused", None))

        await until("it pauses", paused)
        assert found.status == "in_progress"
        assert found.x_paused["code"] == "insufficient_quota"
        assert "daily" in found.x_paused["message"]
        # Lines under way hold their share of the budget too, so the first pause may come early.
        assert 0 < len(app.upstream.answered) <= 50, "a line costs two cents"
        file = tmp_path / "config.yaml"
        config = yaml.safe_load(file.read_text())
        config["budgets"][0]["limitUSD"] = "100"
        file.write_text(yaml.safe_dump(config))
        await completed(app, batch, 100)
        assert max(app.upstream.asked.values()) == 1


async def test_cancelling_a_batch_that_is_paused(stood: Any) -> None:
    budget = BudgetConfig(name="daily", per=BudgetScope.TENANT, period=BudgetPeriod.DAY, limit_usd=Decimal("0.5"))
    async with stood(budgets=(budget,), fail_open=False) as app:
        batch = await app.create([asking(n, max_tokens=20) for n in range(100)])
        await until("it pauses", lambda: app.rows("SELECT * FROM batches WHERE paused IS NOT NULL"))
        await app.sdk().batches.cancel(batch.id)
        ended = await app.ended(batch, seconds=8)
        assert ended.status == "cancelled"
        assert len(await app.lines(ended.output_file_id)) == len(app.upstream.answered)
