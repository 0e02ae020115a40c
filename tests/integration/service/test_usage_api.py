"""GET /v1/usage against a real ledger: sums, filters, and nobody sees what another tenant has used."""

import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aiapp_service.config import AuthConfig
from tests.integration.servers.postgres import Postgres
from tests.integration.service.conftest import Serve, Service, config
from tests.integration.service.ledgers import Books, new_books

KEYS = {"ours": "key-of-ours-0123456789", "theirs": "key-of-theirs-0123456789"}
ZERO = {
    "cached_tokens": 0,
    "cache_write_tokens": 0,
    "reasoning_tokens": 0,
    "audio_input_tokens": 0,
    "audio_output_tokens": 0,
}
ROWS = """
INSERT INTO usage
    (request_id, tenant, api_key, model, input_tokens, output_tokens, cost_usd, estimated, created_at,
     backend, endpoint)
VALUES
    ('1', 'ours', 'web', 'chat', 10, 1, 0.10, false, '2026-01-30T23:59:59.9Z', '', ''),
    ('2', 'ours', 'web', 'chat', 20, 2, 0.20, true,  '2026-01-31T00:00:00Z', '', ''),
    ('3', 'ours', 'web', 'code', 30, 3, NULL, true,  '2026-01-31T12:00:00Z', '', ''),
    ('4', 'ours', 'app', 'chat', 40, 4, 0.0000000001, false, '2026-02-01T00:00:00Z', '', ''),
    ('5', 'theirs', 'web', 'chat', 1000, 1000, 100, false, '2026-01-31T12:00:00Z', '', '')
"""
JANUARY = {"start": "2026-01-01", "end": "2026-02-01"}


@pytest.fixture(scope="module")
def books(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Books:
    made = new_books(postgres_server, "usage_api", tmp_path_factory.mktemp("books"))
    made.migrate()
    made.execute(ROWS)
    return made


@pytest.fixture
def keys(tmp_path: Path) -> AuthConfig:
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, key in KEYS.items():
        (folder / name).write_text(key)
    return AuthConfig(api_keys_dir=folder)


async def ask(api: Service, as_: str = "", query: dict[str, Any] | list[tuple[str, str]] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {KEYS[as_]}"} if as_ else {}
    async with api.http.get(f"{api.url}/v1/usage", params=query or {}, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers


def bucket(requests: int, asked: int, answered: int, cost: str | None, unknown: int, share: float, **by: str) -> Any:
    tokens = {"input_tokens": asked, "output_tokens": answered, **ZERO}
    return {**by, "requests": requests, **tokens, "cost_usd": cost, "unknown_cost": unknown, "estimated": share}


@pytest.mark.parametrize(
    ("as_", "query", "buckets"),
    [
        ("ours", JANUARY, [bucket(3, 60, 6, "0.3", 1, 0.666667)]),
        (
            "ours",
            {**JANUARY, "group_by": "day"},
            [bucket(1, 10, 1, "0.1", 0, 0.0, day="2026-01-30"), bucket(2, 50, 5, "0.2", 1, 1.0, day="2026-01-31")],
        ),
        (
            "ours",
            {**JANUARY, "end": "2026-02-02", "group_by": "key,model"},
            [
                bucket(1, 40, 4, "0.0000000001", 0, 0.0, key="app", model="chat"),
                bucket(2, 30, 3, "0.3", 0, 0.5, key="web", model="chat"),
                bucket(1, 30, 3, None, 1, 1.0, key="web", model="code"),
            ],
        ),
        (
            "ours",
            [*JANUARY.items(), ("group_by", "tenant"), ("group_by", "model"), ("model", "code")],
            [bucket(1, 30, 3, None, 1, 1.0, tenant="ours", model="code")],
        ),
        ("ours", {**JANUARY, "key": "app"}, [bucket(0, 0, 0, None, 0, 0.0)]),
        ("ours", {**JANUARY, "key": "app", "group_by": "day"}, []),
        ("theirs", {**JANUARY, "group_by": "tenant"}, [bucket(1, 1000, 1000, "100", 0, 0.0, tenant="theirs")]),
        ("ours", {"end": "2026-02-01"}, [bucket(3, 60, 6, "0.3", 1, 0.666667)]),
        (
            "ours",
            {"start": "2026-01-31T01:00:00+01:00", "end": "2026-01-31T12:00:00"},
            [bucket(1, 20, 2, "0.2", 0, 1.0)],
        ),
    ],
)
async def test_sums(serve: Serve, books: Books, keys: AuthConfig, as_: str, query: Any, buckets: Any) -> None:
    async with serve(config("http://127.0.0.1:1/v1", auth=keys, database=books.config)) as api:
        status, document, _ = await ask(api, as_, query)
    assert status == 200
    assert document["object"] == "list"
    assert document["data"] == buckets


async def test_who_sees_what(serve: Serve, books: Books, keys: AuthConfig) -> None:
    by = {**JANUARY, "group_by": "tenant"}
    anonymous = AuthConfig(anonymous=True)
    for auth, as_, seen in (
        (keys, "theirs", {"theirs"}),
        (anonymous, "", {"ours", "theirs"}),
        (keys.model_copy(update={"anonymous": True}), "", set()),
    ):
        async with serve(config("http://127.0.0.1:1/v1", auth=auth, database=books.config)) as api:
            _, document, _ = await ask(api, as_, by)
            assert {found["tenant"] for found in document["data"]} == seen
    async with serve(config("http://127.0.0.1:1/v1", auth=keys, database=books.config)) as api:
        assert (await ask(api))[0] == 401


async def test_who_sees_what_follows_the_configuration(serve: Serve, books: Books, keys: AuthConfig) -> None:
    by = {**JANUARY, "group_by": "tenant"}
    opened = config("http://127.0.0.1:1/v1", auth=AuthConfig(anonymous=True), database=books.config)
    async with serve(opened) as api:
        _, document, _ = await ask(api, "", by)
        assert {found["tenant"] for found in document["data"]} == {"ours", "theirs"}
        api.gateway.replace(opened.model_copy(update={"auth": keys}))
        _, document, _ = await ask(api, "theirs", by)
        assert {found["tenant"] for found in document["data"]} == {"theirs"}


async def test_default_is_this_month(serve: Serve, books: Books) -> None:
    async with serve(config("http://127.0.0.1:1/v1", database=books.config)) as api:
        _, document, _ = await ask(api)
    end = datetime.fromisoformat(document["end"])
    assert datetime.now(UTC) - end < timedelta(minutes=1)
    assert datetime.fromisoformat(document["start"]) == end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"start": "yesterday"}, "start"),
        ({"end": "2026-13-01"}, "end"),
        ({"end": "0001-01-01"}, "end"),
        ({"end": "9999-12-31T23:59:59-23:00"}, "end"),
        ({"start": "2026-01-02", "end": "2026-01-02"}, "start"),
        ({"start": "2024-01-01", "end": "2026-01-02"}, "start"),
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": ""}, "group_by"),
        ({"group_by": "day;drop table usage"}, "group_by"),
        ({"model": ""}, "model"),
        ({"key": "a\x00b"}, "key"),
        ({"tenant": "theirs"}, "tenant"),
    ],
)
async def test_wrong_parameter_is_named(serve: Serve, books: Books, query: dict[str, str], param: str) -> None:
    async with serve(config("http://127.0.0.1:1/v1", database=books.config)) as api:
        status, document, _ = await ask(api, query=query)
    assert (status, document["error"]["param"]) == (400, param)
    assert param in document["error"]["message"]


async def test_without_a_ledger_it_says_so(serve: Serve, postgres_server: Postgres, tmp_path: Path) -> None:
    async with serve(config("http://127.0.0.1:1/v1")) as api:
        status, document, _ = await ask(api)
    assert (status, document["error"]["code"]) == (501, "usage_not_kept")
    assert "spec.postgres" in document["error"]["message"]
    empty = new_books(postgres_server, "usage_not_migrated", tmp_path)
    async with serve(config("http://127.0.0.1:1/v1", database=empty.config)) as api:
        status, document, headers = await ask(api)
    assert (status, document["error"]["code"]) == (503, "usage_unavailable")
    assert re.fullmatch(r"\d+", headers["Retry-After"])


async def test_postgres_down_and_back(serve: Serve, postgres_server: Postgres, books: Books) -> None:
    async with serve(config("http://127.0.0.1:1/v1", database=books.config)) as api:
        assert (await ask(api))[0] == 200
        postgres_server.server.stop(signal.SIGINT)
        try:
            status, document, headers = await ask(api)
        finally:
            postgres_server.server.start()
        assert (status, document["error"]["code"]) == (503, "usage_unavailable")
        assert headers["Retry-After"]
