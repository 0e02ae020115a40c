"""Migrations in processes of their own against a real PostgreSQL: two at once, killed in the middle, failing."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from aiapp_service.db.migrate import MIGRATIONS, latest, migrate
from tests.stack.wait import wait_until

_RUN = """
import sys
from pathlib import Path
from aiapp_service.db.migrate import end_on_sigterm, migrate
from aiapp_service.telemetry.logs import set_up
set_up()
end_on_sigterm()
sys.exit(migrate(*map(Path, sys.argv[1:])))
"""
_HEAD = f'''"""For a test."""

from alembic import op

revision = "9001"
down_revision = "{latest()}"


def upgrade() -> None:
'''
CONCURRENTLY = """
    with op.get_context().autocommit_block():
        op.drop_index("usage_slow", if_exists=True, postgresql_concurrently=True)
        op.create_index("usage_slow", "usage", ["backend"], postgresql_concurrently=True)
"""


@pytest.fixture
def database(postgres_server, request):
    return postgres_server.new_database(f"faults_{request.node.name[:40]}".lower())


@pytest.fixture
def folder(tmp_path):
    """A copy of the migrations that tests may change."""
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))


@pytest.fixture
def migration(database, tmp_path):
    url, result = tmp_path / "url", tmp_path / "result"
    url.write_text(database)
    result.touch()
    return url, result


def only_first(folder: Path, count: int) -> Path:
    """A folder with the first migrations only: an older version."""
    older = shutil.copytree(folder, folder.parent / "older")
    for file in sorted((older / "versions").glob("0*.py"))[count:]:
        file.unlink()
    return older


def add(folder: Path, body: str) -> None:
    (folder / "versions" / "9001_for_a_test.py").write_text(_HEAD + body)


@contextmanager
def running(migration, folder, tmp_path):
    """A process that migrates; its log is a file beside it."""
    log = tmp_path / f"log-{len(list(tmp_path.glob('log-*')))}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, *map(str, migration), str(folder)], stdout=output, stderr=output
        )
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextmanager
def transaction(database, *statements):
    """Somebody's transaction that stays open."""
    with psycopg.connect(database) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.rollback()


def query(database, sql):
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def others(database):
    """Sessions besides the one that asks, without those that tests hold open: their statement and what it waits for."""
    return query(
        database,
        "SELECT query, wait_event_type FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid != pg_backend_pid() AND backend_type = 'client backend' AND state != 'idle in transaction'",
    )


def wait_blocked(database, words):
    wait_until(
        f"{words} waits",
        lambda: any(words in statement and kind == "Lock" for statement, kind in others(database)),
        seconds=30,
        seen=lambda: others(database),
    )


def version(database):
    return query(database, "SELECT version_num FROM alembic_version")[0][0]


def columns(database):
    return {row[0] for row in query(database, "SELECT column_name FROM information_schema.columns")}


READER = "LOCK TABLE usage IN ACCESS SHARE MODE"


def test_second_process_waits_for_the_first(database, migration, folder, tmp_path):
    assert migrate(*migration, only_first(folder, 2)) == 0
    with (
        transaction(database, READER) as reader,
        running(migration, folder, tmp_path) as (first, _),
    ):
        wait_blocked(database, "ALTER TABLE usage")
        with running(migration, folder, tmp_path) as (second, log):
            wait_until("second waits", lambda: "waiting for another migration" in log.read_text(), seconds=30)
            assert (first.poll(), second.poll()) == (None, None)
            assert version(database) == "0002"
            reader.rollback()
            assert (first.wait(30), second.wait(30)) == (0, 0)
            assert '"applied"' not in log.read_text(), "nothing was left to do"
    assert version(database) == latest()


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle_the_next_one_goes_on(database, migration, folder, tmp_path, kill):
    """0003 has changed a comment when it is killed: that is undone, while the table is still in use."""
    assert migrate(*migration, only_first(folder, 2)) == 0
    with transaction(database, READER):
        with running(migration, folder, tmp_path) as (process, _):
            wait_blocked(database, "ALTER TABLE usage")
            process.send_signal(kill)
            assert process.wait(10) == (-kill if kill is signal.SIGKILL else 128 + kill)
        wait_until("its session ends", lambda: not others(database), seconds=15, seen=lambda: others(database))
        assert version(database) == "0002"
        assert "cache_write_tokens" not in columns(database)
    with running(migration, folder, tmp_path) as (again, log):
        assert again.wait(60) == 0, log.read_text()
    assert version(database) == latest()
    assert "cache_write_tokens" in columns(database)


def test_index_that_is_built_concurrently_is_built_anew_when_that_was_killed(database, migration, folder, tmp_path):
    assert migrate(*migration) == 0
    add(folder, CONCURRENTLY)
    state = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('usage_slow')"
    with transaction(database, "INSERT INTO usage (request_id, model, backend, endpoint) VALUES ('r', 'm', 'b', 'e')"):
        with running(migration, folder, tmp_path) as (process, _):
            wait_blocked(database, "CREATE INDEX CONCURRENTLY")
            # Whoever waits for the lock inside the server would now wait for ever, and the index for it.
            with running(migration, folder, tmp_path) as (_, log):
                wait_until("second waits", lambda: "waiting for another migration" in log.read_text(), seconds=30)
            process.kill()
            process.wait()
        wait_until("its session ends", lambda: not others(database), seconds=15, seen=lambda: others(database))
        assert query(database, state) == [(False,)]
        assert version(database) == latest()
    with running(migration, folder, tmp_path) as (one, log), running(migration, folder, tmp_path) as (two, _):
        assert (one.wait(60), two.wait(60)) == (0, 0), log.read_text()
    assert query(database, state) == [(True,)]
    assert version(database) == "9001"


def test_failure_names_the_migration_and_shows_no_rows(database, migration, folder):
    assert migrate(*migration) == 0
    insert = (
        "INSERT INTO usage (request_id, tenant, model, backend, endpoint) VALUES (%s, 'canary-tenant', 'm', 'b', 'e')"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(insert, ("r1",))
        connection.execute(insert, ("r2",))
    add(folder, '    op.create_unique_constraint("one_each", "usage", ["tenant"])\n')
    assert migrate(*migration, folder) == 1
    line = migration[1].read_text()
    assert line == 'migration 9001_for_a_test failed: could not create unique index "one_each"'
    assert version(database) == latest()


def test_mistake_in_a_migration_is_told_like_any_other(database, migration, folder):
    add(folder, '    raise KeyError("postgresql://u:canary-password@h/d")\n')
    assert migrate(*migration, folder) == 1
    line = migration[1].read_text()
    assert line.startswith("migration 9001_for_a_test failed: ")
    assert "canary-password" not in line
    assert version(database) == latest(), "what came before it is kept"


def test_role_takes_sigterm(database, migration, folder, tmp_path):
    """As process 1 of a container it would not end by itself."""
    assert migrate(*migration, only_first(folder, 2)) == 0
    command = [sys.executable, "-m", "aiapp_service", "migrate", "--url-file", str(migration[0])]
    with transaction(database, READER), (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", *command], stdout=log, stderr=log)
        try:
            wait_blocked(database, "ALTER TABLE usage")
            child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
            os.kill(int(child), signal.SIGTERM)
            assert process.wait(10) == 128 + signal.SIGTERM
        finally:
            process.kill()
            process.wait()
