"""`aiapp-service migrate` against a real PostgreSQL."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from aiapp_service.db import connect
from aiapp_service.db.migrate import latest, migrate
from tests.integration.servers.postgres import PASSWORD, Postgres


@pytest.fixture
def database(postgres_server: Postgres, request: pytest.FixtureRequest) -> str:
    return postgres_server.new_database(re.sub(r"\W+", "_", request.node.name)[:50].lower())


@pytest.fixture
def url_file(database: str, tmp_path: Path) -> Path:
    file = tmp_path / "url"
    file.write_text(database + "\n")
    return file


@pytest.fixture
def result_file(tmp_path: Path) -> Path:
    file = tmp_path / "result"
    file.touch()
    return file


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in rows}


def test_new_database_gets_the_schema_and_again_changes_nothing(database, url_file, result_file):
    for _ in range(2):
        assert migrate(url_file, result_file) == 0
        assert json.loads(result_file.read_text()) == {"migrated": latest()}
    there = {"alembic_version", "users", "api_keys", "usage", "files", "vector_store_chunks", "batches"}
    assert there <= tables(database)


def test_one_request_is_one_row_of_usage(database, url_file):
    assert migrate(url_file) == 0
    insert = (
        "INSERT INTO usage (request_id, model, backend, endpoint) VALUES ('r1', 'm', 'b', 'e') ON CONFLICT DO NOTHING"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(2):
            connection.execute(insert)
        assert connection.execute("SELECT count(*), max(cost_usd) FROM usage").fetchone() == (1, None)
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("UPDATE usage SET input_tokens = -1")
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO api_keys (tenant, name, hash) VALUES ('t', 'n', 'plain text')")


def test_several_at_once_take_turns(database, url_file):
    command = [sys.executable, "-m", "aiapp_service", "migrate", "--url-file", str(url_file)]
    with ThreadPoolExecutor() as threads:
        done = list(threads.map(lambda _: subprocess.run(command, capture_output=True, check=False), range(3)))
    assert [process.returncode for process in done] == [0, 0, 0]
    assert "usage" in tables(database)


def test_database_of_a_newer_version_is_left_alone(database, url_file, result_file):
    assert migrate(url_file) == 0
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert migrate(url_file, result_file) == 0
    assert json.loads(result_file.read_text()) == {"migrated": "9999"}


def test_failed_migration_leaves_nothing_half_done(database, url_file, result_file):
    """The second migration cannot make its table: the first one stays, the second left no trace."""
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE usage (mine int)")
    assert migrate(url_file, result_file) == 1
    line = result_file.read_text()
    assert "usage" in line
    assert "already exists" in line
    assert "\n" not in line
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://aiapp:{wrong}@127.0.0.1:{port}/postgres", "password authentication failed"),
        ("postgresql://aiapp:{right}@127.0.0.1:{port}/nowhere", "does not exist"),
        ("mysql://aiapp:{right}@127.0.0.1/x", "has to be postgresql://"),
        ("not a url {right}", "holds no URL"),
        ("", "holds no URL"),
        ("postgresql://aiapp:{right}@127.0.0.1:1/x", "refused"),
    ],
)
def test_what_the_user_has_to_mend_is_said_without_the_password(
    postgres_server: Postgres, tmp_path, result_file, monkeypatch, capsys, url, words
):
    monkeypatch.setattr(connect, "PATIENCE_SECONDS", 0.1)
    file = tmp_path / "url"
    file.write_text(url.format(wrong="wrong-canary", right=PASSWORD, port=postgres_server.port))
    assert migrate(file, result_file) == 1
    line = result_file.read_text()
    assert words in line
    said = line + "".join(capsys.readouterr())
    assert PASSWORD not in said
    assert "wrong-canary" not in said


def test_missing_file_is_said(tmp_path, result_file):
    assert migrate(tmp_path / "nothing", result_file) == 1
    assert "No such file" in result_file.read_text()


def test_tables_of_another_app_are_refused_with_the_remedy(database, url_file, result_file):
    assert migrate(url_file, result_file, app="shop/web") == 0
    assert migrate(url_file, result_file, app="shop/web") == 0
    assert migrate(url_file, result_file, app="shop/other") == 1
    said = result_file.read_text()
    assert said.startswith(
        "not migrated: postgres.external: the tables in schema public are those of the AIApp shop/web"
    )
    assert "search_path" in said
    remedy = said.rpartition("run: ")[2]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other")
    # The first remedy: a schema of its own, and not the other one's behind it, whose tables would be found.
    plain = url_file.read_text().strip()
    url_file.write_text(f"{plain}?options=-csearch_path%3Dother,public")
    assert migrate(url_file, result_file, app="shop/other") == 1
    assert "the tables in schema public" in result_file.read_text()
    url_file.write_text(f"{plain}?options=-csearch_path%3Dother")
    assert migrate(url_file, result_file, app="shop/other") == 0, result_file.read_text()
    with psycopg.connect(database, autocommit=True) as connection:
        rows = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'usage' ORDER BY 1").fetchall()
        assert rows == [("other",), ("public",)]
        # The second one: the other app is gone.
        connection.execute(remedy)
    url_file.write_text(plain)
    assert migrate(url_file, result_file, app="shop/third") == 0
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT app FROM public.aiapp_owner").fetchone() == ("shop/third",)
