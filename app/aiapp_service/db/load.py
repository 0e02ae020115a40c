"""How much of a PostgreSQL is taken: what its connections, and its disk where it is known, have left.

Only what every role may ask. A server that is only like PostgreSQL may not know the answers: then nothing is told.
"""

import time
from typing import Any

import psycopg

# A server counts its sessions for it, and looks at every file of the database.
CONNECTIONS_SECONDS = 5.0
SIZE_SECONDS = 60.0
# Sessions of clients: only they have a user and a database. What is reserved is for superusers and the like.
_CONNECTIONS = """SELECT count(*) FILTER (WHERE datid IS NOT NULL AND usesysid IS NOT NULL),
  current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int,
  current_setting('aiapp.disk', true)
FROM pg_catalog.pg_stat_activity"""
# The log of transactions may take what max_wal_size says at any time.
_SIZE = """SELECT pg_catalog.pg_database_size(pg_catalog.current_database())
  + pg_catalog.pg_size_bytes(current_setting('max_wal_size'))"""


class Load:
    """What was last seen; each question is asked again when its answer is old."""

    def __init__(self) -> None:
        self._document: dict[str, Any] = {}
        self._connections_at = self._size_at = float("-inf")

    def document(self) -> dict[str, Any]:
        """{"connections": {"used", "max", "reserved"}, "disk": {"percent", "size"}, "size"}, as far as it is known.

        Sizes are bytes; `size` outside of `disk` is what the database needs of its disk.
        """
        return dict(self._document)

    async def look(self, connection: psycopg.AsyncConnection) -> None:
        """Ask what is due.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        now = time.monotonic()
        if now - self._connections_at >= CONNECTIONS_SECONDS:
            self._connections_at = now
            self._take_in(await _row(connection, _CONNECTIONS))
        if now - self._size_at >= SIZE_SECONDS:
            self._size_at = now
            row = await _row(connection, _SIZE)
            self._tell("size", int(row[0]) if row is not None and row[0] is not None else None)

    def _take_in(self, row: tuple[Any, ...] | None) -> None:
        used, most, reserved, disk = row or (0, 0, 0, "")
        self._tell("connections", {"used": used, "max": most, "reserved": reserved} if most else None)
        self._tell("disk", _disk(disk or ""))

    def _tell(self, name: str, value: Any) -> None:
        self._document.pop(name, None)
        if value is not None:
            self._document[name] = value


async def _row(connection: psycopg.AsyncConnection, query: str) -> tuple[Any, ...] | None:
    try:
        return await (await connection.execute(query)).fetchone()
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return None


def _disk(text: str) -> dict[str, int] | None:
    """Out of what the probe of a managed database writes into its configuration: percent in use, size in KiB."""
    percent, _, size = text.partition(" ")
    if not (percent.isascii() and percent.isdigit() and size.isascii() and size.isdigit()):
        return None
    return {"percent": int(percent), "size": int(size) * 1024}
