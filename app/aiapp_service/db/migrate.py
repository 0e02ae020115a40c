"""`aiapp-service migrate`: bring a database to the schema of this version.

Forward only, each migration in a transaction of its own, one process at a time. A database that is newer than
this version is left as it is: the service of an older revision works with it. A process that was killed leaves
nothing half done, and the next one goes on where it was; see docs/development.md for what migrations may do.
"""

import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from aiapp_service.db import semantic_cache, vector_stores
from aiapp_service.db.connect import CONNECT_SECONDS, WrongUrl, connection_string, read_url, retrying
from aiapp_service.db.owner import SomebodyElses, claim
from aiapp_service.telemetry.logs import without_secrets

log = logging.getLogger(__name__)

# Kubernetes shows what is written here in the status of the pod.
RESULT_FILE = Path("/dev/termination-log")
MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x61696170706D6967  # any number that nobody else takes: "aiappmig"
LOCK_POLL_SECONDS = 1.0
# A migration that waits longer for a table would hold up everything behind it.
LOCK_TIMEOUT = "30s"
# After this time the server notices that a client was killed, also in the middle of a statement.
LIVENESS_CHECK = "2s"
_TERMINATED = 128 + signal.SIGTERM


class MigrationFailed(Exception):
    """`migration` is the name of its file. The cause is what went wrong."""

    def __init__(self, migration: str) -> None:
        super().__init__(migration)
        self.migration = migration


def migrate(url_file: Path, result_file: Path = RESULT_FILE, migrations: Path = MIGRATIONS, app: str = "") -> int:
    """Migrate; gives the exit code, and writes the result, or the error on one line without secrets.

    With `app` the tables have to be that one's, or nobody's.
    """
    try:
        reached = _migrate(connection_string(read_url(url_file)), ScriptDirectory(str(migrations)), app)
    except MigrationFailed as error:
        return _failed(result_file, f"migration {error.migration} failed", error.__cause__ or error)
    except SomebodyElses as error:
        return _failed(result_file, "not migrated", error)
    except (WrongUrl, OSError, psycopg.Error, SQLAlchemyError, CommandError) as error:
        return _failed(result_file, "migration failed", error)
    log.info("migrated", extra={"revision": reached})
    tell(result_file, json.dumps({"migrated": reached}))
    return 0


def end_on_sigterm() -> None:
    """Give up what is under way, and end, when Kubernetes says so: process 1 would not hear it otherwise."""

    def end(*_: object) -> NoReturn:
        sys.exit(_TERMINATED)

    signal.signal(signal.SIGTERM, end)


def latest() -> str:
    """The revision that this version brings a database to."""
    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def _migrate(conninfo: str, scripts: ScriptDirectory, app: str) -> str:
    engine = create_engine("postgresql+psycopg://", creator=lambda: _connect(conninfo), poolclass=NullPool)
    with engine.connect() as connection:
        _notice_our_death(connection)
        _lock(connection)
        if app:
            claim(connection, app)
            connection.commit()
        return _upgrade(connection, scripts)


def _connect(conninfo: str) -> psycopg.Connection:
    for attempt in retrying(log):
        with attempt:
            return psycopg.connect(conninfo, connect_timeout=CONNECT_SECONDS)
    raise AssertionError("retrying either returns or raises")


def _notice_our_death(connection: Connection) -> None:
    # PostgreSQL 13 has no such setting, and some servers run where it cannot be set.
    name, value = "client_connection_check_interval", LIVENESS_CHECK
    try:
        connection.execute(
            text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name"),
            {"name": name, "value": value},
        )
        connection.commit()
    except SQLAlchemyError:
        connection.rollback()


def _lock(connection: Connection) -> None:
    """Wait until no other process migrates. The lock lasts as long as the connection that migrates, so it
    neither outlives nor falls short of a statement that runs on after its client was killed.

    It is asked for over and over: whoever waits for it inside the server holds a snapshot, and an index that is
    built concurrently waits for all of those.
    """
    waiting = False
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        connection.commit()
        if not waiting:
            log.info("waiting for another migration to end")
            waiting = True
        time.sleep(LOCK_POLL_SECONDS)
    connection.commit()


def _upgrade(connection: Connection, scripts: ScriptDirectory) -> str:
    current = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    known = [script.revision for script in scripts.walk_revisions()]
    if current is not None and current not in known:
        log.info("the database is newer than this version", extra={"revision": current, "ours": known[0]})
        return current
    config = Config()
    config.set_main_option("script_location", scripts.dir)
    config.attributes["connection"] = connection
    pending = known if current is None else known[: known.index(current)]
    for revision in reversed(pending):
        name = Path(scripts.get_revision(revision).path).stem
        with _named(name):
            connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.commit()
            command.upgrade(config, revision)
        log.info("applied", extra={"migration": name})
    with _named(semantic_cache.TABLE):
        # An extension may have come since the migration that asked for it.
        semantic_cache.create_where_possible(connection)
        connection.commit()
    with _named(vector_stores.TABLE):
        vector_stores.add_vectors_where_possible(connection)
        connection.commit()
    return known[0]


@contextmanager
def _named(migration: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # raised again, with the name of the migration
        raise MigrationFailed(migration) from error


def _failed(result_file: Path, what: str, error: BaseException) -> int:
    message = f"{what}: {_first_line(error)}"
    log.error("migration failed", extra={"error": message})
    tell(result_file, message)
    return 1


def _first_line(error: BaseException) -> str:
    """The driver's own words. SQLAlchemy adds the statement and a link, PostgreSQL lines that may hold rows."""
    cause = getattr(error, "orig", None) or error
    told = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause)
    line = next((line for line in told.splitlines() if line.strip()), "")
    return " ".join(without_secrets(line).split())[:500] or type(cause).__name__


def tell(result_file: Path, line: str) -> None:
    """Leave the result where Kubernetes shows it; outside of a pod there is no such file, and nothing is written."""
    try:
        if result_file.exists():
            result_file.write_text(line, encoding="utf-8")
    except OSError as error:
        log.warning("result not written", extra={"file": str(result_file), "error": error.strerror})
