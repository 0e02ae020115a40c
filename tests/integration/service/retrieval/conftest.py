"""A migrated database with pgvector."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from aiapp_service.config import DatabaseConfig
from aiapp_service.db.migrate import migrate
from aiapp_service.retrieval import chunk_table
from aiapp_service.stores.postgres import Database
from tests.integration.servers.postgres import Postgres


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the tests may be busy: a store that is up shall not look as if it were down."""
    monkeypatch.setattr(chunk_table, "DEADLINE_SECONDS", 20.0)


@pytest.fixture(scope="package")
def url_file(vector_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrieval")
    file = folder / "postgres-url"
    file.write_text(vector_server.new_database("retrieval"))
    vector_server.allow_vector("retrieval")
    assert migrate(file, folder / "result") == 0
    return file


@pytest.fixture
async def database(url_file: Path) -> AsyncIterator[Database]:
    opened = Database(DatabaseConfig(url_file=url_file))
    yield opened
    await opened.close()


@pytest.fixture
def connection(url_file: Path) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url_file.read_text(), autocommit=True) as opened:
        yield opened
