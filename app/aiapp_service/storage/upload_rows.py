"""The tables of uploads and their parts. Every query names the tenant, but those of the sweeper.

pending    parts come in, until it expires
completed  a file was made of it
cancelled  by its client
expired    nobody completed it in time
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from aiapp_service.storage.file_rows import COLUMNS, File
from aiapp_service.stores import schema
from aiapp_service.stores.postgres import Database

PENDING = "pending"
# Whatever its row says: nobody completes it any more.
_STATUS = sql.SQL("CASE WHEN status = 'pending' AND expires_at <= now() THEN 'expired' ELSE status END AS status")


@dataclass(frozen=True)
class FileUpload:
    """One upload. `bytes` is what the client has promised, times are in UTC."""

    id: str
    filename: str
    purpose: str
    content_type: str
    bytes: int
    keep_seconds: int | None
    status: str
    file_id: str | None
    created_at: datetime
    expires_at: datetime

    @property
    def expires_after(self) -> timedelta | None:
        """When the file goes that comes of it, after its creation."""
        return None if self.keep_seconds is None else timedelta(seconds=self.keep_seconds)


_UPLOAD = sql.SQL(", ").join(
    _STATUS if name == "status" else sql.Identifier(name) for name in FileUpload.__dataclass_fields__
)


class UploadRows:
    """Each method raises StoreDown where PostgreSQL does not answer, or has no such table yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, id_: str, tenant: str, new: dict[str, Any], lasts: timedelta, most_open: int
    ) -> FileUpload | None:
        """One that waits for parts; None: the tenant has `most_open` of them."""
        names = sql.SQL(", ").join(map(sql.Identifier, new))
        statement = sql.SQL(
            "INSERT INTO uploads (id, tenant, expires_at, {}) SELECT %s, %s, now() + %s, {} WHERE (SELECT count(*)"
            " FROM uploads WHERE tenant = %s AND status = 'pending' AND expires_at > now()) < %s RETURNING {}"
        ).format(names, sql.SQL(", ").join([sql.Placeholder()] * len(new)), _UPLOAD)
        rows = await self._run(statement, id_, tenant, lasts, *new.values(), tenant, most_open)
        return FileUpload(*rows[0]) if rows else None

    async def get(self, tenant: str, id_: str) -> FileUpload | None:
        """One of the tenant's."""
        statement = sql.SQL("SELECT {} FROM uploads WHERE id = %s AND tenant = %s").format(_UPLOAD)
        rows = await self._run(statement, id_, tenant)
        return FileUpload(*rows[0]) if rows else None

    async def begin_part(self, id_: str, upload: str, most: int) -> bool:
        """Note that the object of a part is going to be written; False: the upload has `most` parts, or is over."""
        statement = sql.SQL(
            "INSERT INTO upload_parts (id, upload_id) SELECT %s, id FROM uploads WHERE id = %s AND status = 'pending'"
            " AND expires_at > now() AND (SELECT count(*) FROM upload_parts WHERE upload_id = %s) < %s RETURNING id"
        )
        return bool(await self._run(statement, id_, upload, upload, most))

    async def keep_part(self, id_: str, size: int) -> datetime | None:
        """Its object is there; None: the upload is over by now."""
        statement = sql.SQL(
            "UPDATE upload_parts p SET bytes = %s FROM uploads u WHERE p.id = %s AND u.id = p.upload_id"
            " AND u.status = 'pending' RETURNING p.created_at"
        )
        rows = await self._run(statement, size, id_)
        return rows[0][0] if rows else None

    async def sizes(self, upload: str) -> dict[str, int]:
        """The parts that are there, and their bytes."""
        rows = await self._run(
            sql.SQL("SELECT id, bytes FROM upload_parts WHERE upload_id = %s AND bytes IS NOT NULL"), upload
        )
        return {str(id_): int(size) for id_, size in rows}

    async def complete(self, tenant: str, id_: str, file: str, size: int, sha256: str) -> File | None:
        """Let the file be seen that has come of it, and end it, both or none; None: it is over already."""
        statement = sql.SQL(
            "WITH done AS (UPDATE uploads SET status = 'completed', file_id = %s WHERE id = %s AND tenant = %s"
            " AND status = 'pending' RETURNING purpose AS meant, make_interval(secs => keep_seconds) AS lasts)"
            " UPDATE files SET status = 'processed', purpose = done.meant, bytes = %s, sha256 = %s,"
            " changed_at = now(), expires_at = created_at + done.lasts FROM done"
            " WHERE id = %s AND status = 'uploading' RETURNING {}"
        ).format(COLUMNS)
        rows = await self._run(statement, file, id_, tenant, size, sha256, file)
        return File(*rows[0]) if rows else None

    async def cancel(self, tenant: str, id_: str) -> bool:
        """End one that waits for parts; False: it does not."""
        statement = sql.SQL(
            "UPDATE uploads SET status = 'cancelled' WHERE id = %s AND tenant = %s AND status = 'pending'"
            " AND expires_at > now() RETURNING id"
        )
        return bool(await self._run(statement, id_, tenant))

    async def parts_of(self, upload: str) -> list[str]:
        """All parts that there may be objects of."""
        rows = await self._run(sql.SQL("SELECT id FROM upload_parts WHERE upload_id = %s"), upload)
        return [str(row[0]) for row in rows]

    async def forget_parts(self, ids: Sequence[str]) -> None:
        """Remove rows whose objects are gone."""
        await self._run(sql.SQL("DELETE FROM upload_parts WHERE id = ANY(%s)"), list(ids))

    async def over(self, settled: timedelta, limit: int) -> list[str]:
        """Uploads that are over and still have parts, left alone for `settled`; what has expired is marked."""
        mark = sql.SQL("UPDATE uploads SET status = 'expired' WHERE status = 'pending' AND expires_at <= now() - %s")
        await self._run(mark, settled)
        find = sql.SQL(
            "SELECT u.id FROM uploads u WHERE u.status <> 'pending' AND EXISTS (SELECT FROM upload_parts p"
            " WHERE p.upload_id = u.id AND p.created_at <= now() - %s) LIMIT %s"
        )
        return [str(row[0]) for row in await self._run(find, settled, limit)]

    async def forget(self, after: timedelta) -> None:
        """Remove those without parts that nobody asks for any more."""
        statement = sql.SQL(
            "DELETE FROM uploads u WHERE u.status <> 'pending' AND u.expires_at < now() - %s"
            " AND NOT EXISTS (SELECT FROM upload_parts p WHERE p.upload_id = u.id)"
        )
        await self._run(statement, after)

    async def _run(self, statement: sql.SQL | sql.Composed, *values: Any) -> list[tuple[Any, ...]]:
        async def ask(connection: psycopg.AsyncConnection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

        return await schema.run(self._database, ask)
