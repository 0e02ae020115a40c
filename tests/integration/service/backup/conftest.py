"""A PostgreSQL with pgvector, a superuser that logs in with a password as the operator's Jobs do, and an S3 server."""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aiapp_service.__main__ import main
from aiapp_service.backup import roles
from aiapp_service.db.migrate import migrate
from aiapp_service.telemetry import logs
from tests.integration.servers.objects import ObjectServer
from tests.integration.servers.postgres import USER, Postgres, programs_with_vector

APP = "shop"
PASSWORD = "pa55-word-of-the-superuser"


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    result: str
    output: str

    @property
    def document(self) -> dict[str, Any]:
        """The result, as JSON."""
        return dict(json.loads(self.result))


@dataclass
class Bed:
    """One application's database and its place for backups."""

    server: Postgres
    objects: ObjectServer
    folder: Path
    database: str

    def url(self, database: str | None = None, *, password: str = PASSWORD) -> str:
        """As the superuser."""
        return f"postgresql://admin:{password}@127.0.0.1:{self.server.port}/{database or self.database}"

    def sql(self, statement: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement; gives its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def command(self, *arguments: str, url: str | None = None, app: str = APP) -> list[str]:
        """The command line of a role."""
        file = self.folder / "url"
        file.write_text(url or self.url())
        store = self.objects.config.model_dump_json(by_alias=True, exclude_none=True)
        base = [sys.executable, "-m", "aiapp_service", *arguments, "--store", store, "--app", app]
        return base if arguments[0] == "backups" else [*base, "--url-file", str(file)]

    def run(self, *arguments: str, url: str | None = None, app: str = APP) -> Ended:
        """Run a role to its end, in this process."""
        roles.RESULT_FILE.write_text("")
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
            main(self.command(*arguments, url=url, app=app)[3:])
        return Ended(int(ended.value.code or 0), roles.RESULT_FILE.read_text(), said.getvalue())

    def backups(self) -> list[dict[str, Any]]:
        """What `backups list` says, newest first."""
        return [json.loads(line) for line in self.run("backups", "list").output.splitlines()]

    def scratch_databases(self) -> list[str]:
        """Databases that drills have made."""
        return [name for (name,) in self.sql("SELECT datname FROM pg_database WHERE datname LIKE 'aiapp_verify_%'")]

    def empty_database(self, name: str) -> str:
        """A new one as the operator makes them, with the extension; gives its name."""
        name = f"{self.database}_{name}"[:60]
        self.server.new_database(name)
        self.server.allow_vector(name)
        return name


def environment() -> dict[str, str]:
    """With the programs of the server's own version."""
    return {**os.environ, "PATH": f"{programs_with_vector()}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def admin_server(vector_server: Postgres) -> Postgres:
    """With a superuser that has a password."""
    with psycopg.connect(
        f"postgresql://{USER}@/postgres?host={vector_server.socket}&port={vector_server.port}", autocommit=True
    ) as connection:
        connection.execute(f"CREATE ROLE admin SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    return vector_server


@pytest.fixture
def bed(
    admin_server: Postgres,
    object_store: ObjectServer,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bed]:
    """A migrated database with rows of all kinds."""
    monkeypatch.setenv("PATH", environment()["PATH"])
    monkeypatch.setattr(roles, "RESULT_FILE", tmp_path / "result")
    monkeypatch.setattr(logs, "set_up", lambda level: None)
    name = re.sub(r"\W+", "_", request.node.name)[:40].lower()
    url = admin_server.new_database(name)
    admin_server.allow_vector(name)
    file = tmp_path / "owner-url"
    file.write_text(url)
    assert migrate(file) == 0
    made = Bed(admin_server, object_store, tmp_path, name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("COMMENT ON TABLE usage IS 'what clients have used'")
        connection.execute(
            """CREATE SCHEMA "Odd one";
               CREATE TABLE "Odd one"."T" (t text, n numeric, f float8, b bytea, at timestamptz, v vector(3));
               INSERT INTO "Odd one"."T" SELECT 'zeile ' || i, i / 7.0, i / 3.0, decode(md5(i::text), 'hex'),
                 timestamptz '2026-11-24 02:00+01' + i * interval '1 h', ARRAY[i, 1, 2]::vector
                 FROM generate_series(1, 500) i;
               INSERT INTO "Odd one"."T" SELECT NULL, NULL, 'NaN', '' FROM generate_series(1, 2);
               CREATE TABLE parts (day int, words text) PARTITION BY RANGE (day);
               CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10);
               INSERT INTO parts VALUES (3, 'three'), (4, 'four');"""
        )
    yield made
    for database in (name, *made.scratch_databases()):
        made.sql(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)', "postgres")
