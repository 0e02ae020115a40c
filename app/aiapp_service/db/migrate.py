"""`aiapp-service migrate`: bring a database to the schema of this version.

Forward only, each migration in a transaction of its own, one process at a time. A database that is newer than
this version is left as it is: the service of an older revision works with it.
"""

import json
import logging
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from aiapp_service.db import semantic_cache
from aiapp_service.db.connect import CONNECT_SECONDS, WrongUrl, connection_string, read_url, retrying
from aiapp_service.telemetry.logs import without_secrets

log = logging.getLogger(__name__)

# Kubernetes shows what is written here in the status of the pod.
RESULT_FILE = Path("/dev/termination-log")
LOCK = 0x61696170706D6967  # any number that nobody else takes: "aiappmig"
# A migration that waits longer for a table would hold up everything behind it.
LOCK_TIMEOUT = "30s"
_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(url_file: Path, result_file: Path = RESULT_FILE) -> int:
    """Migrate; gives the exit code, and writes the result, or the error on one line without secrets."""
    try:
        reached = _migrate(connection_string(read_url(url_file)))
    except (WrongUrl, OSError, psycopg.Error, SQLAlchemyError, CommandError) as error:
        message = _one_line(error)
        log.error("migration failed", extra={"error": message})  # noqa: TRY400  # the traceback may hold the URL
        tell(result_file, f"migration failed: {message}")
        return 1
    log.info("migrated", extra={"revision": reached})
    tell(result_file, json.dumps({"migrated": reached}))
    return 0


def latest() -> str:
    """The revision that this version brings a database to."""
    return str(ScriptDirectory(str(_MIGRATIONS)).get_current_head())


def _migrate(conninfo: str) -> str:
    with _connect(conninfo) as holder:
        holder.autocommit = True
        # Held by a connection of its own: it lasts for all migrations, whose transactions come and go.
        if holder.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone() != (True,):
            log.info("waiting for another migration to end")
            holder.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        engine = create_engine("postgresql+psycopg://", creator=lambda: _connect(conninfo), poolclass=NullPool)
        with engine.connect() as connection:
            return _upgrade(connection)


def _connect(conninfo: str) -> psycopg.Connection:
    for attempt in retrying(log):
        with attempt:
            return psycopg.connect(conninfo, connect_timeout=CONNECT_SECONDS)
    raise AssertionError("retrying either returns or raises")


def _upgrade(connection: Connection) -> str:
    scripts = ScriptDirectory(str(_MIGRATIONS))
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        log.info("the database is newer than this version", extra={"revision": current, "ours": latest()})
        return current
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.commit()
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    # An extension may have come since the migration that asked for it.
    semantic_cache.create_where_possible(connection)
    connection.commit()
    return latest()


def _one_line(error: Exception) -> str:
    """The driver's own words: SQLAlchemy adds the statement and a link."""
    cause = getattr(error, "orig", None) or error
    return " ".join(without_secrets(str(cause)).split())[:500] or type(cause).__name__


def tell(result_file: Path, line: str) -> None:
    """Leave the result where Kubernetes shows it; outside of a pod there is no such file, and nothing is written."""
    try:
        if result_file.exists():
            result_file.write_text(line, encoding="utf-8")
    except OSError as error:
        log.warning("result not written", extra={"file": str(result_file), "error": error.strerror})
