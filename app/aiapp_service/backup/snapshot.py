"""One view of the database for the dump and for what the manifest says of it.

The snapshot is exported by a transaction that stays open; pg_dump takes it up. While it is held no
migration runs (it waits, instead of failing on a locked table), and no second backup.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from sqlalchemy import URL

from aiapp_service.backup import contents
from aiapp_service.backup.manifest import TableContent
from aiapp_service.db.connect import CONNECT_SECONDS, connection_string, retrying
from aiapp_service.db.migrate import LOCK as MIGRATION_LOCK

log = logging.getLogger(__name__)

BACKUP_LOCK = 0x6169617070626B70  # any number that nobody else takes: "aiappbkp"
_ROLES = """SELECT DISTINCT pg_catalog.pg_get_userbyid(role) FROM (
  SELECT c.relowner AS role FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  UNION SELECT (pg_catalog.aclexplode(c.relacl)).grantee FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
) AS found WHERE role <> 0 ORDER BY 1"""


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot. Use it from one thread at a time."""

    id: str
    time: datetime
    server_version: str
    database_size: int
    connection: psycopg.Connection

    def tables(self) -> tuple[TableContent, ...]:
        """What each table holds in this snapshot."""
        return contents.tables(self.connection)

    def roles(self) -> tuple[str, ...]:
        """Roles that own relations, or were granted something."""
        return tuple(row[0] for row in self.connection.execute(_ROLES).fetchall())


def connect(url: URL, database: str | None = None) -> psycopg.Connection:
    """A prepared connection in autocommit mode, also to another database of the same server; patient with one
    that starts.

    Raises:
        psycopg.Error: it cannot be had.
    """
    target = url if database is None else url.set(database=database)
    for attempt in retrying(log):
        with attempt:
            connection = psycopg.connect(connection_string(target), connect_timeout=CONNECT_SECONDS, autocommit=True)
            contents.prepare(connection)
            return connection
    raise AssertionError("retrying either returns or raises")


def wait_for_turn(connection: psycopg.Connection) -> None:
    """Hold off other backups and migrations for as long as the connection lasts.

    Raises:
        psycopg.Error: the connection is lost.
    """
    if connection.execute("SELECT pg_catalog.pg_try_advisory_lock(%s)", (BACKUP_LOCK,)).fetchone() != (True,):
        log.info("waiting for another backup to end")
        connection.execute("SELECT pg_catalog.pg_advisory_lock(%s)", (BACKUP_LOCK,))
    connection.execute("SELECT pg_catalog.pg_advisory_lock_shared(%s)", (MIGRATION_LOCK,))


@contextmanager
def exported(connection: psycopg.Connection) -> Iterator[Snapshot]:
    """A snapshot of now, while the context lasts.

    Raises:
        psycopg.Error: the connection is lost.
    """
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    row = connection.execute(
        "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.now(), pg_catalog.current_setting('server_version'), "
        "pg_catalog.pg_database_size(pg_catalog.current_database())"
    ).fetchone()
    assert row is not None  # noqa: S101  # this query always gives a row
    yield Snapshot(row[0], row[1], row[2], row[3], connection)
    connection.execute("ROLLBACK")
