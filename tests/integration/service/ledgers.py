"""A migrated database and what stands in its ledger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from aiapp_service.billing.consumer import LedgerConsumer
from aiapp_service.config import DatabaseConfig, RedisConfig
from aiapp_service.db.migrate import migrate
from aiapp_service.stores.postgres import Database
from tests.integration.servers.postgres import Postgres
from tests.integration.service.waiting import running


@dataclass(frozen=True)
class Books:
    """One database."""

    url: str
    config: DatabaseConfig

    def rows(self) -> list[dict[str, Any]]:
        """All rows of the ledger, in the order of time."""
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            return connection.execute("SELECT * FROM usage ORDER BY created_at, id").fetchall()

    def execute(self, statement: str) -> None:
        """Run a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def migrate(self) -> None:
        """Bring it to the schema of this version."""
        assert migrate(self.config.url_file) == 0


def new_books(server: Postgres, name: str, folder: Path) -> Books:
    """A new database, without a schema yet."""
    file = folder / "database-url"
    url = server.new_database(name)
    file.write_text(url)
    return Books(url, DatabaseConfig(url_file=file, pool_max=4))


@asynccontextmanager
async def consuming(redis: RedisConfig, books: Books, app: str = "aiapp") -> AsyncIterator[None]:
    """Write what waits in Redis into `books` while the context lasts."""
    database = Database(books.config)
    try:
        async with running(LedgerConsumer(redis, database, app).run()):
            yield
    finally:
        await database.close()
