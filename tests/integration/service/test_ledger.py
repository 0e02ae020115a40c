"""The ledger with a real Redis and a real PostgreSQL: each billable request is one row, and nothing gets in its way."""

import asyncio
import json
import re
import signal
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from aiapp_service import assembly
from aiapp_service.billing import direct
from aiapp_service.billing.row import UsageRow
from aiapp_service.billing.stream import GROUP, dead_key_of, key_of
from aiapp_service.config import AuthConfig, PriceConfig, RedisConfig, ServiceConfig, mock_config
from aiapp_service.jobs import embeddings
from aiapp_service.jobs.job import Job
from aiapp_service.jobs.redis import connect
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics
from tests.integration.servers.postgres import Postgres
from tests.integration.servers.redis import RedisServer
from tests.integration.service.conftest import Serve, Service, config
from tests.integration.service.ledgers import Books, consuming, new_books
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

HELLO = [{"role": "user", "content": "Hello, how are you?"}]
PRICE = PriceConfig(input_per_1m=Decimal(2), output_per_1m=Decimal(10))
KEY = "key-of-web-0123456789"


@pytest.fixture
def empty_books(postgres_server: Postgres, request: pytest.FixtureRequest, tmp_path: Path) -> Books:
    return new_books(postgres_server, re.sub(r"\W+", "_", request.node.name)[:50].lower(), tmp_path)


@pytest.fixture
def books(empty_books: Books) -> Books:
    empty_books.migrate()
    return empty_books


@pytest.fixture
def redis_config(redis: RedisServer, tmp_path: Path) -> RedisConfig:
    file = tmp_path / "redis-url"
    file.write_text(redis.url)
    return RedisConfig(url_file=file)


def priced(url: str, **fields: Any) -> ServiceConfig:
    """As `config`, with a price."""
    wanted = config(url, **fields)
    models = tuple(
        model.model_copy(
            update={"backends": tuple(backend.model_copy(update={"price": PRICE}) for backend in model.backends)}
        )
        for model in wanted.models
    )
    return wanted.model_copy(update={"models": models})


async def chat(api: Service, headers: dict[str, str] | None = None, **fields: Any) -> int:
    body = {"model": "chat", "messages": HELLO, **fields}
    async with api.http.post(f"{api.url}/v1/chat/completions", json=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def rows_of(books: Books, count: int) -> list[dict[str, Any]]:
    await until(f"{count} rows", lambda: len(books.rows()) >= count)
    return books.rows()


async def test_each_answer_is_a_row(serve: Serve, redis_config: RedisConfig, books: Books, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "web").write_text(KEY)
    auth = AuthConfig(anonymous=True, api_keys_dir=keys)
    async with (
        Upstream().running() as upstream,
        serve(priced(upstream.url, auth=auth, redis=redis_config, database=books.config)) as api,
        consuming(redis_config, books),
    ):
        before = datetime.now(UTC)
        assert await chat(api, {"Authorization": f"Bearer {KEY}", "x-request-id": "mine"}) == 200
        assert await chat(api, stream=True) == 200
        async with api.http.post(f"{api.url}/v1/embeddings", json={"model": "embed", "input": "x"}) as answer:
            assert answer.status == 200
        whole, streamed, embedded = await rows_of(books, 3)
        upstream.status = 400
        assert await chat(api) == 400
        upstream.status = 500
        assert await chat(api) == 502
        upstream.status = 200
        assert await chat(api) == 200
        rows = await rows_of(books, 4)
    assert len(rows) == 4, "what was refused, or failed, is none"
    assert before <= whole.pop("created_at") <= datetime.now(UTC)
    assert re.fullmatch(r"[0-9a-f]{32}", whole.pop("request_id"))
    del whole["id"]
    assert whole == {
        "client_request_id": "mine",
        "tenant": "web",
        "api_key": "web",
        "user_name": "",
        "model": "chat",
        "backend": "m0/model-m0",
        "endpoint": "chat/completions",
        "input_tokens": 7,
        "output_tokens": 4,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "audio_input_tokens": 0,
        "audio_output_tokens": 0,
        "cost_usd": Decimal("0.000054"),
        "estimated": False,
        "batch": "",
    }
    assert (streamed["input_tokens"], streamed["output_tokens"], streamed["estimated"]) == (7, 4, False)
    assert streamed["tenant"] == ""
    assert (embedded["model"], embedded["endpoint"], embedded["input_tokens"]) == ("embed", "embeddings", 2)


async def test_reused_id_suppresses_no_bill(serve: Serve, redis_config: RedisConfig, books: Books) -> None:
    async with (
        Upstream().running() as upstream,
        serve(config(upstream.url, redis=redis_config, database=books.config)) as api,
        consuming(redis_config, books),
    ):
        for _ in range(3):
            await chat(api, {"x-request-id": "always-the-same"})
        rows = await rows_of(books, 3)
    assert len({row["request_id"] for row in rows}) == 3
    assert {row["client_request_id"] for row in rows} == {"always-the-same"}
    assert [row["cost_usd"] for row in rows] == [None] * 3, "no price is known, which is not free"


@pytest.mark.parametrize(
    ("upstream", "stream", "outputs"),
    [
        (Upstream(before_headers=60), False, range(1)),
        (Upstream(before_headers=60), True, range(1)),
        (Upstream(before_first=60), True, range(1)),
        (Upstream(between=0.02, words=("x",) * 2000), True, range(2, 2000)),
    ],
    ids=["whole", "before the headers", "before the first token", "mid-stream"],
)
async def test_what_a_client_left_behind_is_estimated(
    serve: Serve, redis_config: RedisConfig, books: Books, upstream: Upstream, stream: bool, outputs: range
) -> None:
    patient = config("http://x/v1").models[0].timeouts.model_copy(update={"first_token": 50.0, "total": 100.0})
    async with (
        upstream.running(),
        serve(priced(upstream.url, timeouts=patient, redis=redis_config, database=books.config)) as api,
        consuming(redis_config, books),
    ):
        body = {"model": "chat", "messages": HELLO, "stream": stream}
        async with aiohttp.ClientSession() as leaving:
            request = asyncio.create_task(leaving.post(f"{api.url}/v1/chat/completions", json=body))
            await upstream.asked.wait()
            if outputs.stop > 1:
                answer = await request
                await answer.content.readany()
                answer.close()
            else:
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
        (row,) = await rows_of(books, 1)
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)
        tokens = {
            name: api.metric(f'ai_tokens_total{{endpoint="chat/completions",model="chat",type="{name}"}}')
            for name in ("input", "output")
        }
        cost = api.metric('ai_cost_usd{model="chat"}')
    assert row["estimated"]
    assert row["input_tokens"] == len(HELLO[0]["content"]) // 4 + 1
    assert row["output_tokens"] in outputs
    assert tokens == {"input": row["input_tokens"], "output": row["output_tokens"]}
    assert cost == pytest.approx(float(row["cost_usd"]))
    assert row["cost_usd"] == (2 * row["input_tokens"] + 10 * row["output_tokens"]) / Decimal(1_000_000)


@pytest.mark.parametrize(
    ("fault", "outputs"),
    [({"break_after": 3}, {4}), ({"stall_after": 2}, {3})],
    ids=["breaks", "stalls"],
)
async def test_what_breaks_off_is_estimated(
    serve: Serve, redis_config: RedisConfig, books: Books, fault: dict[str, Any], outputs: set[int]
) -> None:
    async with (
        Upstream(**fault).running() as upstream,
        serve(config(upstream.url, redis=redis_config, database=books.config)) as api,
        consuming(redis_config, books),
    ):
        assert await chat(api, stream=True) == 200
        (row,) = await rows_of(books, 1)
    assert row["estimated"]
    assert row["output_tokens"] in outputs


async def test_usage_told_along_the_way_is_the_least_that_counts(
    serve: Serve, redis_config: RedisConfig, books: Books
) -> None:
    """Some servers tell it in each chunk, adding up: the last one counts, also of a stream that breaks off."""

    def piece(answered: int) -> bytes:
        usage = {"prompt_tokens": 100, "completion_tokens": answered}
        return b"data: " + json.dumps({"choices": [{"delta": {"content": "a"}}], "usage": usage}).encode() + b"\n\n"

    async with (
        Upstream(raw=(piece(10), piece(20), b"data: [DONE]\n\n")).running() as upstream,
        serve(config(upstream.url, redis=redis_config, database=books.config)) as api,
        consuming(redis_config, books),
    ):
        assert await chat(api, stream=True) == 200
        upstream.raw = (piece(10), piece(30))
        assert await chat(api, stream=True) == 200
        rows = await rows_of(books, 2)
    assert [(row["input_tokens"], row["output_tokens"], row["estimated"]) for row in rows] == [
        (100, 20, False),
        (100, 30, True),
    ]


def entry(number: int, **fields: Any) -> str:
    row = UsageRow(
        request_id=f"r{number}",
        created_at=datetime.now(UTC),
        model="chat",
        backend="b",
        endpoint="e",
        input_tokens=number,
    )
    return json.dumps({**row.model_dump(mode="json"), **fields})


async def waiting_in(client: Redis) -> int:
    return int(await client.xlen(key_of("aiapp")))


async def test_duplicates_are_one_row_and_what_is_wrong_is_put_aside(
    redis: RedisServer, redis_config: RedisConfig, books: Books
) -> None:
    """None of it holds up the others, and the reasons repeat no values."""
    wrong: dict[str, str | bytes] = {
        "no JSON": "{canary",
        "no text": b"\xff\xfe",
        "no row": '{"canary": 1}',
        "negative": entry(1, input_tokens=-1),
        "too much": entry(1, request_id="x1", output_tokens=2**70),
        "too dear": entry(1, request_id="x2", cost_usd="99999999999"),
        "NUL": entry(1, request_id="x3", tenant="can\x00ary"),
    }
    key = key_of("aiapp")
    async with connect(redis_config) as client:
        for number in range(1, 21):
            await client.xadd(key, {"row": entry(number)})
            await client.xadd(key, {"row": entry(number, a_later_version="knows this")})
        for bad in wrong.values():
            await client.xadd(key, {"row": bad})
        await client.xadd(key, {"other": "field"})
        await client.xadd(key, {"row": entry(21)})
        async with consuming(redis_config, books):
            await until("all taken", lambda: waiting_in(client))
            await until("all written", lambda: len(books.rows()) == 21)

            async def empty() -> bool:
                return await waiting_in(client) == 0

            await until("nothing waits", empty)
            await client.xadd(key, {"row": entry(22)})
            await until("it goes on", lambda: len(books.rows()) == 22)
            await until("nothing waits", empty)
        assert sum(row["input_tokens"] for row in books.rows()) == sum(range(1, 23))
        pending = await client.xpending(key, GROUP)
        assert pending["pending"] == 0
        assert await client.xlen(dead_key_of("aiapp")) == len(wrong) + 1
        raw = Redis.from_url(redis.url)
        async with raw:
            dead = [fields for _, fields in await raw.xrange(dead_key_of("aiapp"))]
        assert all(fields[b"reason"] for fields in dead)
        assert not any(b"canary" in fields[b"reason"] for fields in dead)
        assert dead[0][b"row"] == b"{canary"


async def test_rows_wait_for_the_schema(redis_config: RedisConfig, empty_books: Books) -> None:
    async with connect(redis_config) as client:
        await client.xadd(key_of("aiapp"), {"row": entry(1)})
        async with consuming(redis_config, empty_books):

            async def taken() -> bool:
                groups = await client.xinfo_groups(key_of("aiapp"))
                return bool(groups and groups[0]["pending"])

            await until("it has been tried", taken)
            empty_books.migrate()
            await until("written", lambda: len(empty_books.rows()) == 1)


async def test_what_a_dead_process_had_taken_is_written_by_the_next(redis_config: RedisConfig, books: Books) -> None:
    async with connect(redis_config) as client:
        key = key_of("aiapp")
        await client.xgroup_create(key, GROUP, id="0", mkstream=True)
        for number in range(5):
            await client.xadd(key, {"row": entry(number)})
        await client.xreadgroup(GROUP, "somebody", {key: ">"}, count=10)
        async with consuming(redis_config, books):
            await until("taken over", lambda: len(books.rows()) == 5, seconds=15)


async def test_redis_that_lost_its_data_is_no_end(redis: RedisServer, redis_config: RedisConfig, books: Books) -> None:
    async with connect(redis_config) as client, consuming(redis_config, books):
        await client.xadd(key_of("aiapp"), {"row": entry(1)})
        await until("written", lambda: len(books.rows()) == 1)
        redis.flush()
        await client.xadd(key_of("aiapp"), {"row": entry(2)})
        await until("written again", lambda: len(books.rows()) == 2)


async def test_without_redis_rows_go_straight_and_wait_for_postgres(
    serve: Serve, postgres_server: Postgres, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "RETRY_SECONDS", 0.1)
    async with (
        Upstream().running() as upstream,
        serve(config(upstream.url, database=books.config)) as api,
    ):
        await chat(api)
        await rows_of(books, 1)
        await asyncio.to_thread(postgres_server.server.stop, signal.SIGINT)
        try:
            for _ in range(3):
                assert await chat(api) == 200
        finally:
            await asyncio.to_thread(postgres_server.server.start)
        assert len(await rows_of(books, 4)) == 4


async def test_stop_writes_what_is_left(serve: Serve, redis_config: RedisConfig, books: Books) -> None:
    async with Upstream().running() as upstream:
        for redis in (None, redis_config):
            async with serve(config(upstream.url, redis=redis, database=books.config)) as api:
                await asyncio.gather(*(chat(api) for _ in range(20)))
    assert len(books.rows()) == 20, "straight"
    async with connect(redis_config) as client:
        assert await waiting_in(client) == 20


async def test_bounded_memory_drops_the_oldest_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    sink = direct.DirectSink(None, most=10)  # type: ignore[arg-type]
    for number in range(15):
        sink.put(UsageRow.model_validate_json(entry(number)))
    assert [row.input_tokens for row in sink._waiting] == list(range(5, 15))
    assert [record.dropped for record in caplog.records] == [1]


async def test_without_postgres_nothing_is_kept(serve: Serve, redis_config: RedisConfig) -> None:
    async with (
        Upstream().running() as upstream,
        serve(config(upstream.url, redis=redis_config)) as api,
        connect(redis_config) as client,
    ):
        assert await chat(api) == 200
        assert await client.keys(f"{key_of('aiapp')}*") == []


async def test_jobs_are_billed_too(redis_config: RedisConfig, books: Books) -> None:
    wanted = mock_config().model_copy(update={"redis": redis_config, "database": books.config})
    async with client_session() as session, Surroundings.of(wanted, session, Metrics()) as around:
        handle = embeddings.handler(assembly.gateway(wanted, around), around.metrics, around.ledger)
        await handle(Job("job-1", "embed", {"model": "embed", "input": ["two words"]}, 1))
        async with consuming(redis_config, books):
            (row,) = await rows_of(books, 1)
    assert (row["client_request_id"], row["model"], row["input_tokens"]) == ("job-1", "embed", 2)
