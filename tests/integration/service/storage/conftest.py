"""An API that keeps files, and what its stores then hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from aiapp_service.config import AuthConfig, ServiceConfig
from tests.integration.servers.objects import ObjectServer
from tests.integration.servers.postgres import Postgres
from tests.integration.service.conftest import config
from tests.integration.service.ledgers import Books, new_books

KEYS = {"ours": "key-of-ours-0123456789", "theirs": "key-of-theirs-0123456789"}


@dataclass(frozen=True)
class Shelf:
    """A database and a bucket."""

    books: Books
    objects: ObjectServer
    auth: AuthConfig

    def config(self, **fields: Any) -> ServiceConfig:
        """Of an API that keeps its files here."""
        given = {"auth": self.auth, "database": self.books.config, "object_store": self.objects.config}
        return config("http://127.0.0.1:1/v1", **{**given, **fields})

    def rows(self) -> list[dict[str, Any]]:
        """All rows of files, also of those that nobody sees."""
        with psycopg.connect(self.books.url, row_factory=dict_row) as connection:
            return connection.execute("SELECT * FROM files ORDER BY created_at, id").fetchall()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left anywhere."""
        return not (self.rows() or self.objects.keys() or self.objects.parts())


@pytest.fixture
def shelf(postgres_server: Postgres, object_store: ObjectServer, tmp_path: Path) -> Shelf:
    """Empty."""
    books = new_books(postgres_server, "files", tmp_path)
    books.migrate()
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, key in KEYS.items():
        (folder / name).write_text(key)
    (folder / "limited").write_text("tenant: ours\nkey: limited-key-0123456789\nmodels: [embed]\n")
    return Shelf(books, object_store, AuthConfig(api_keys_dir=folder))
