"""A migrated database with pgvector."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from aiapp_service.config import DatabaseConfig
from aiapp_service.db.migrate import migrate
from aiapp_service.retrieval import chunk_table, table
from aiapp_service.storage import file_rows
from aiapp_service.stores.postgres import Database
from tests.integration.servers.objects import ObjectServer, object_server
from tests.integration.servers.postgres import Postgres
from tests.integration.servers.redis import RedisServer, redis_server
from tests.integration.service.retrieval.keeping import Keeping


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the tests may be busy: a store that is up shall not look as if it were down."""
    for module in (chunk_table, table, file_rows):
        monkeypatch.setattr(module, "DEADLINE_SECONDS", 20.0)


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


@pytest.fixture(scope="package")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis") / "home") as server:
        yield server


@pytest.fixture
def redis(one_redis: RedisServer) -> RedisServer:
    with Redis.from_url(one_redis.url) as client:
        client.flushall()
    return one_redis


@pytest.fixture
def keeping(url_file: Path, redis: RedisServer, object_store: ObjectServer, tmp_path: Path) -> Keeping:
    return Keeping(url_file, redis, object_store, tmp_path)


@pytest.fixture(scope="package")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """One for all tests of the package."""
    with object_server(tmp_path_factory.mktemp("objects") / "home") as server:
        yield server
