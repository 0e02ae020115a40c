"""The table of files: what PostgreSQL knows of them. Every query names the tenant, but those of the sweeper.

uploading  the object is being written; nobody sees the row
processed  the file is there
deleted    nobody sees it any more; the object may still be there
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

T = TypeVar("T")

DEADLINE_SECONDS = 2.0
_THERE = sql.SQL("status = 'processed' AND (expires_at IS NULL OR expires_at > now())")


@dataclass(frozen=True)
class File:
    """One file. `bytes` is its size, `sha256` is in hexadecimal digits; times are in UTC."""

    id: str
    tenant: str
    purpose: str
    filename: str
    bytes: int
    content_type: str
    sha256: str
    status: str
    created_at: datetime
    expires_at: datetime | None


COLUMNS = sql.SQL(", ").join(map(sql.Identifier, File.__dataclass_fields__))


class FileRows:
    """Each method raises StoreDown where PostgreSQL does not answer, or has no such table yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, id_: str, tenant: str, filename: str, content_type: str) -> None:
        """Note that an object is going to be written."""
        statement = sql.SQL(
            "INSERT INTO files (id, tenant, filename, content_type, status) VALUES (%s, %s, %s, %s, 'uploading')"
        )
        await self._run(statement, (id_, tenant, filename, content_type))

    async def keep(
        self, id_: str, purpose: str, size: int, sha256: str, expires_after: timedelta | None
    ) -> File | None:
        """Let the file be seen; None: it took so long that it was taken for abandoned."""
        statement = sql.SQL(
            "UPDATE files SET status = 'processed', purpose = %s, bytes = %s, sha256 = %s, changed_at = now(),"
            " expires_at = created_at + %s WHERE id = %s AND status = 'uploading' RETURNING {}"
        ).format(COLUMNS)
        rows = await self._run(statement, (purpose, size, sha256, expires_after, id_))
        return File(*rows[0]) if rows else None

    async def get(self, tenant: str, id_: str) -> File | None:
        """One that is there."""
        statement = sql.SQL("SELECT {} FROM files WHERE id = %s AND tenant = %s AND {}").format(COLUMNS, _THERE)
        rows = await self._run(statement, (id_, tenant))
        return File(*rows[0]) if rows else None

    async def page(
        self, tenant: str, purpose: str | None, limit: int, after: File | None, *, newest_first: bool
    ) -> list[File]:
        """At most `limit` of them, in the order of time, from the one behind `after` on."""
        order, than = (sql.SQL("DESC"), sql.SQL("<")) if newest_first else (sql.SQL("ASC"), sql.SQL(">"))
        conditions: list[sql.Composable] = [sql.SQL("tenant = %s"), _THERE]
        values: list[Any] = [tenant]
        if purpose is not None:
            conditions.append(sql.SQL("purpose = %s"))
            values.append(purpose)
        if after is not None:
            conditions.append(sql.SQL("(created_at, id) {} (%s, %s)").format(than))
            values += [after.created_at, after.id]
        statement = sql.SQL("SELECT {} FROM files WHERE {} ORDER BY created_at {}, id {} LIMIT %s").format(
            COLUMNS, sql.SQL(" AND ").join(conditions), order, order
        )
        return [File(*row) for row in await self._run(statement, (*values, limit))]

    async def delete(self, tenant: str, id_: str) -> bool:
        """Let nobody see it any more; False where there is none."""
        statement = sql.SQL(
            "UPDATE files SET status = 'deleted', changed_at = now() WHERE id = %s AND tenant = %s AND {} RETURNING id"
        ).format(_THERE)
        return bool(await self._run(statement, (id_, tenant)))

    async def abandon(self, id_: str) -> None:
        """The object is not going to be complete."""
        statement = sql.SQL("UPDATE files SET status = 'deleted', changed_at = now() WHERE id = %s RETURNING id")
        await self._run(statement, (id_,))

    async def forget(self, ids: list[str]) -> None:
        """Remove rows whose objects are gone."""
        await self._run(sql.SQL("DELETE FROM files WHERE id = ANY(%s) AND status = 'deleted' RETURNING id"), (ids,))

    async def leftovers(self, uploading: timedelta, deleted: timedelta, limit: int) -> list[str]:
        """Mark what has expired, and uploads that are older than `uploading`; gives what is to be removed.

        What was marked within the last `deleted` is left to whoever marked it.
        """
        mark = sql.SQL(
            "UPDATE files SET status = 'deleted', changed_at = now() - %s WHERE id IN ("
            "SELECT id FROM files WHERE (status = 'processed' AND expires_at <= now())"
            " OR (status = 'uploading' AND changed_at < now() - %s) LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING id"
        )
        await self._run(mark, (deleted, uploading, limit))
        find = sql.SQL("SELECT id FROM files WHERE status = 'deleted' AND changed_at <= now() - %s LIMIT %s")
        return [str(row[0]) for row in await self._run(find, (deleted, limit))]

    async def _run(self, statement: sql.SQL | sql.Composed, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        async def ask(connection: psycopg.AsyncConnection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

        return await _migrated(lambda: self._database.run(ask, DEADLINE_SECONDS))


async def _migrated(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise StoreDown("the database is not migrated yet") from error
