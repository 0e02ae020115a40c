"""What /health says of a database's connections and disk, with a real PostgreSQL that has few of them."""

import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aiapp_service.config import DatabaseConfig
from aiapp_service.db import load
from aiapp_service.db.pool import DatabaseProbe
from aiapp_service.http import health
from tests.integration.servers.postgres import ROLE, USER, Postgres, postgres

MOST, RESERVED = 13, 3
SIZE = 10 * 1024**3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    settings = {
        "max_connections": str(MOST),
        "max_wal_size": "64MB",
        "min_wal_size": "32MB",
        "aiapp.disk": f"93 {SIZE // 1024}",
    }
    with postgres(tmp_path_factory.mktemp("small") / "home", **settings) as running:
        yield running


@pytest.fixture
def url(server: Postgres) -> str:
    return server.new_database("load")


@pytest.fixture
async def probe(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DatabaseProbe]:
    monkeypatch.setattr(load, "CONNECTIONS_SECONDS", 0.0)
    file = tmp_path / "url"
    file.write_text(url, encoding="utf-8")
    made = DatabaseProbe(DatabaseConfig(url_file=file))
    yield made
    await made.close()


@contextlib.contextmanager
def sessions(url: str) -> Iterator[int]:
    """Take every connection that there is for an ordinary role; gives how many these are."""
    with contextlib.ExitStack() as stack:
        taken = 0
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(psycopg.connect(url, connect_timeout=5))
                taken += 1
        yield taken


async def told(probe: DatabaseProbe) -> dict[str, Any]:
    """The check of the database as it stands in /health."""
    dependencies = health.Dependencies({"database": probe.check}, random.Random(1))
    await dependencies.look()
    found: dict[str, Any] = health.document(dependencies, None)["checks"]["database"]
    return found


async def test_connections_in_use_are_counted_by_a_role_that_may_see_no_statements(probe, url) -> None:
    before = (await told(probe))["connections"]
    assert before == {"used": 1, "max": MOST, "reserved": RESERVED}
    with psycopg.connect(url), psycopg.connect(url):
        assert (await told(probe))["connections"]["used"] == 3
    with sessions(url) as taken:
        assert taken == MOST - RESERVED - 1, "the probe has one"
        found = await told(probe)
        assert found["status"] == "ok", "what is open goes on"
        assert found["connections"]["used"] == MOST - RESERVED


async def test_a_probe_that_finds_no_connection_says_so(probe, url) -> None:
    with sessions(url):
        found = await told(probe)
    assert (found["status"], found["refused"]) == ("error", True)
    assert found["message"] == "all of its connections are in use"
    assert (await told(probe))["status"] == "ok"


async def test_a_limit_of_the_role_counts_too(probe, server: Postgres) -> None:
    with psycopg.connect(f"postgresql://{USER}@/postgres?host={server.socket}&port={server.port}") as admin:
        admin.autocommit = True
        admin.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
        try:
            assert (await told(probe))["message"] == "all of its connections are in use"
        finally:
            admin.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


async def test_the_disk_is_told_as_the_server_has_it_and_the_size_with_room_for_its_log(probe, url) -> None:
    found = await told(probe)
    assert found["disk"] == {"percent": 93, "size": SIZE}
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    assert found["size"] - 64 * 1024**2 == pytest.approx(row[0], rel=0.2)


async def test_what_a_server_does_not_know_is_not_told(probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_CONNECTIONS", "SELECT no_such_function()")
    found = await told(probe)
    assert found["status"] == "ok"
    assert "connections" not in found
    assert "disk" not in found
    assert (await told(probe))["status"] == "ok"


@pytest.mark.parametrize("text", ["", "93", "many 7", "93 much", "-1 5", "\u00b2 5"])
def test_odd_words_about_a_disk_are_none(text: str) -> None:
    assert load._disk(text) is None
