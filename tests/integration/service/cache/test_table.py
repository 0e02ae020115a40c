"""The table of the semantic cache is there where pgvector is, and migrations succeed where it is not."""

import json
from pathlib import Path

import psycopg
import pytest

from aiapp_service.db.migrate import latest, migrate
from tests.integration.servers.postgres import Postgres


def has_table(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT to_regclass('semantic_cache')").fetchone() != (None,)


def migrated(url: str, folder: Path) -> bool:
    """Migrate; whether the database then has the table."""
    file, result = folder / "url", folder / "result"
    file.write_text(url)
    result.touch()
    assert migrate(file, result) == 0
    assert json.loads(result.read_text()) == {"migrated": latest()}
    return has_table(url)


@pytest.mark.parametrize("server", ["postgres_server", "vector_server"], ids=["may not be there", "not ours to create"])
def test_without_the_extension_there_is_no_table_and_no_error(server, request, tmp_path) -> None:
    postgres: Postgres = request.getfixturevalue(server)
    assert not migrated(postgres.new_database("no_extension"), tmp_path)


def test_table_comes_with_the_extension_even_after_its_migration(vector_server: Postgres, tmp_path) -> None:
    url = vector_server.new_database("extension_later")
    assert not migrated(url, tmp_path)
    vector_server.allow_vector("extension_later")
    for _ in range(2):
        assert migrated(url, tmp_path)


def test_vectors_of_all_sizes_go_in(vector_server: Postgres, tmp_path) -> None:
    url = vector_server.new_database("sizes")
    vector_server.allow_vector("sizes")
    assert migrated(url, tmp_path)
    insert = """INSERT INTO semantic_cache (tenant, model, context, parameters, embedding, answer, expires_at)
        VALUES ('t', 'm', '', '', %s::vector, '', now())"""
    with psycopg.connect(url) as connection:
        for size in (1, 256, 3072, 16000):
            connection.execute(insert, (str([0.5] * size),))
