"""Requests that mean the same are answered from PostgreSQL with pgvector."""

import math
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aiapp_service.cache import embedder, semantic
from aiapp_service.config import (
    AuthConfig,
    CacheConfig,
    DatabaseConfig,
    ExactCacheConfig,
    RedisConfig,
    SemanticCacheConfig,
    ServiceConfig,
)
from aiapp_service.db.migrate import migrate
from tests.integration.servers.postgres import Postgres
from tests.integration.service.cache.asking import Asked, ask, bearer, counted, two_tenants
from tests.integration.service.conftest import Serve, Service, config
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

TOWER = "How tall is the Eiffel Tower?"


def at(similarity: float) -> list[float]:
    """A vector of that cosine similarity to [1, 0]."""
    return [similarity, math.sqrt(1 - similarity * similarity)]


VECTORS = {
    TOWER: [1.0, 0.0],
    "What is the height of the Eiffel Tower?": at(0.97),
    "Who built the Eiffel Tower?": at(0.93),
    "How tall was the Eiffel Tower in 1889?": at(0.999),
}
SAME, LIKE, NUMBER = list(VECTORS)[1:]


@pytest.fixture(scope="module")
def migrated(vector_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("migrated") / "url"
    file.write_text(vector_server.new_database("answers"))
    vector_server.allow_vector("answers")
    assert migrate(file) == 0
    return file.read_text()


@pytest.fixture
def database(migrated: str, tmp_path: Path) -> str:
    """A migrated database without answers; gives its URL."""
    with psycopg.connect(migrated) as connection:
        connection.execute("TRUNCATE semantic_cache")
    (tmp_path / "database-url").write_text(migrated)
    return migrated


def wanted(url: str, folder: Path, ttl: float = 60.0, **fields: Any) -> ServiceConfig:
    cached = CacheConfig(semantic=SemanticCacheConfig(embedding_model="embed", threshold=Decimal("0.95"), ttl=ttl))
    values = {"cache": cached, "database": DatabaseConfig(url_file=folder / "database-url"), **fields}
    return config(url, **values)


Running = Callable[..., Any]


@pytest.fixture
def running(serve: Serve, tmp_path: Path) -> Running:
    """The API and its backend."""

    @asynccontextmanager
    async def run(**fields: Any) -> AsyncIterator[tuple[Service, Upstream]]:
        upstream = Upstream(vectors=dict(VECTORS))
        async with upstream.running(), serve(wanted(upstream.url, tmp_path, **fields)) as api:
            yield api, upstream

    return run


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM semantic_cache").fetchone()
    return int(row[0]) if row else 0


def said(text: str, *before: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in (*before, ("user", text))]


async def question(api: Service, text: str, **fields: Any) -> Asked:
    return await ask(api, messages=said(text), **fields)


def chats(upstream: Upstream) -> list[dict[str, Any]]:
    return [body for body in upstream.bodies if "messages" in body]


async def test_the_same_in_other_words_is_a_hit_and_what_is_only_alike_is_none(running, database) -> None:
    async with running() as (api, upstream):
        first = await question(api, TOWER)
        assert first.cache == "miss"
        await until("kept", lambda: rows(database) == 1)
        again, same = await question(api, TOWER), await question(api, SAME)
        assert [again.cache, same.cache] == ["semantic", "semantic"]
        assert same.body == first.body
        assert same.age == "0"
        assert len(chats(upstream)) == 1
        assert (await question(api, LIKE)).cache == "miss"
        assert (await question(api, NUMBER)).cache == "miss", "other numbers are another question"
        assert (counted(api, "semantic", "hit"), counted(api, "semantic", "miss")) == (2, 3)


@pytest.mark.parametrize(("similarity", "cache"), [(0.9501, "semantic"), (0.9499, "miss")])
async def test_threshold(running, database, similarity, cache) -> None:
    async with running() as (api, upstream):
        upstream.vectors["near"] = at(similarity)
        await question(api, TOWER)
        await until("kept", lambda: rows(database) == 1)
        assert (await question(api, "near")).cache == cache


async def test_nearest_of_several_is_given(running, database) -> None:
    async with running() as (api, upstream):
        # On both sides of what is asked, too far from each other to be the same.
        upstream.vectors |= {"far": at(0.96), "near": [at(0.99)[0], -at(0.99)[1]]}
        for count, text in enumerate(("far", "near"), start=1):
            upstream.words = (text,)
            assert (await question(api, text)).cache == "miss"
            await until("kept", lambda count=count: rows(database) == count)
        assert b'"near"' in (await question(api, TOWER)).body


@pytest.mark.parametrize("streams", [True, False])
async def test_stream_and_whole_stand_for_each_other(running, database, streams) -> None:
    async with running() as (api, _), api.sdk() as client:
        await question(api, TOWER, stream=streams)
        await until("kept", lambda: rows(database) == 1)
        whole = await client.chat.completions.create(model="chat", messages=said(SAME))
        stream = await client.chat.completions.create(model="chat", messages=said(SAME), stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert whole.choices[0].message.content == text != ""


PARTS = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, {"type": "text", "text": TOWER}]


@pytest.mark.parametrize(
    ("fields", "cache"),
    [
        ({"messages": said(SAME, ("system", "Be brief."))}, "miss"),
        ({"messages": said(SAME, ("user", "Hello"), ("assistant", "Hello!"))}, "miss"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "miss"),
        ({"response_format": {"type": "json_object"}}, "miss"),
        ({"temperature": 0}, "miss"),
        ({"max_tokens": 5}, "miss"),
        ({"user": "somebody", "metadata": {"a": "b"}}, "semantic"),
        ({"x_cache": False}, "bypass"),
        ({"n": 2}, "bypass"),
    ],
)
async def test_all_else_has_to_be_equal(running, database, fields, cache) -> None:
    async with running() as (api, _):
        await question(api, TOWER)
        await until("kept", lambda: rows(database) == 1)
        assert (await ask(api, **{"messages": said(SAME), **fields})).cache == cache


async def test_images_and_tool_results_are_never_asked_by_meaning(running, database) -> None:
    called = [{"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]}]
    result = [{"role": "tool", "tool_call_id": "t", "content": "330 m"}]
    async with running() as (api, upstream):
        for messages in ([{"role": "user", "content": PARTS}], [*said(TOWER), *called, *result, *said("And now?")]):
            for _ in range(2):
                assert (await ask(api, messages=messages)).cache == "miss"
        assert len(upstream.bodies) == len(chats(upstream)) == 4, "nothing was embedded"
        assert counted(api, "semantic", "bypass") == 4
        assert rows(database) == 0


async def test_tenants_do_not_share(running, database, tmp_path) -> None:
    auth: AuthConfig = two_tenants(tmp_path)
    async with running(auth=auth) as (api, _):
        await ask(api, bearer("alice"), messages=said(TOWER))
        await until("kept", lambda: rows(database) == 1)
        assert (await ask(api, bearer("bob"), messages=said(SAME))).cache == "miss"
        assert (await ask(api, bearer("alice"), messages=said(SAME))).cache == "semantic"


async def test_vectors_of_another_size_are_not_compared(running, database) -> None:
    """The embedding model was exchanged behind its name."""
    async with running() as (api, upstream):
        await question(api, TOWER)
        await until("kept", lambda: rows(database) == 1)
        upstream.vectors |= {SAME: [1.0, 0.0, 0.0]}
        assert (await question(api, SAME)).cache == "miss"
        await until("both are kept", lambda: rows(database) == 2)
        assert counted(api, "semantic", "error") == 0


async def test_what_has_run_out_is_not_given_and_is_swept(running, database) -> None:
    async with running() as (api, _):
        await question(api, TOWER)
        await until("kept", lambda: rows(database) == 1)
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE semantic_cache SET expires_at = now() - interval '1 second'")
        assert (await question(api, SAME)).cache == "miss"
        await until("the old one is gone", lambda: rows(database) == 1)
        assert (await question(api, TOWER)).cache == "semantic"


async def test_lifetime_is_the_configured_one(running, database) -> None:
    async with running(ttl=1234.0) as (api, _):
        await question(api, TOWER)
        await until("kept", lambda: rows(database) == 1)
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT extract(epoch FROM expires_at - now()) FROM semantic_cache").fetchone()
    assert row is not None
    assert 1100 < row[0] < 1234


async def test_exact_comes_first_and_needs_no_embedding(running, database, redis, tmp_path) -> None:
    (tmp_path / "redis-url").write_text(redis.url)
    both = CacheConfig(exact=ExactCacheConfig(), semantic=SemanticCacheConfig(embedding_model="embed"))
    async with running(cache=both, redis=RedisConfig(url_file=tmp_path / "redis-url")) as (api, upstream):
        await question(api, TOWER)
        await until("kept", lambda: rows(database) == 1)
        asked = len(upstream.bodies)
        assert (await question(api, TOWER)).cache == "exact"
        assert len(upstream.bodies) == asked
        assert (await question(api, SAME)).cache == "semantic"


async def test_embedding_model_that_fails_or_is_slow_holds_nothing_up(running, database, monkeypatch) -> None:
    monkeypatch.setattr(embedder, "DEADLINE_SECONDS", 0.2)
    async with running() as (api, upstream):
        upstream.vectors[TOWER] = []
        assert (await question(api, TOWER)).status == 200
        assert (await question(api, SAME)).cache == "miss"
        assert counted(api, "semantic", "error") == 2
        assert len(upstream.bodies) == 3, "it is left alone for a moment"


async def test_database_that_is_down_is_a_miss_and_pays_for_no_embedding(
    running, database, vector_server: Postgres
) -> None:
    async with running() as (api, upstream):
        await question(api, TOWER)
        await until("kept", lambda: rows(database) == 1)
        vector_server.server.stop(signal.SIGINT)
        try:
            assert (await question(api, SAME)).cache == "miss"
            embedded = len(upstream.bodies) - len(chats(upstream))
            answers = [await question(api, SAME) for _ in range(3)]
            assert {(answer.status, answer.cache) for answer in answers} == {(200, "miss")}
            assert len(upstream.bodies) - len(chats(upstream)) == embedded
        finally:
            vector_server.server.start()

        async def hit() -> bool:
            return (await question(api, SAME)).cache == "semantic"

        await until("it is used again", hit)


async def test_without_pgvector_the_cache_is_off_and_says_so_once(
    running, vector_server: Postgres, tmp_path, caplog, monkeypatch
) -> None:
    url = vector_server.new_database("without_vector")
    (tmp_path / "database-url").write_text(url)
    assert migrate(tmp_path / "database-url") == 0
    monkeypatch.setattr(semantic, "REST_SECONDS", 0.0)
    async with running() as (api, upstream):
        for _ in range(3):
            assert (await question(api, TOWER)).cache == "miss"
        assert len(chats(upstream)) == 3
        assert len([line for line in caplog.messages if "semantic cache is off" in line]) == 1
        async with api.http.get(f"{api.url}/health") as answer:
            assert (await answer.json())["status"] == "healthy"
        # An administrator adds the extension; the next migration brings the table.
        vector_server.allow_vector("without_vector")
        assert migrate(tmp_path / "database-url") == 0
        await question(api, TOWER)
        await until("kept", lambda: rows(url) == 1)
        assert (await question(api, SAME)).cache == "semantic"
