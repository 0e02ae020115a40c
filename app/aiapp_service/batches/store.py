"""Batches in PostgreSQL, as requests and the look for lost ones see them. Each method raises StoreDown."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from aiapp_service.batches.record import COLUMNS, WINDOW_SECONDS, Batch
from aiapp_service.batches.request import Asked
from aiapp_service.pipeline.principal import Principal, dumped
from aiapp_service.stores.postgres import Database
from aiapp_service.stores.schema import run

FIELDS = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
# A batch that cannot be delivered for so long after its time is left as it is.
_GIVEN_UP = "7 days"

_INSERT = sql.SQL(
    "INSERT INTO batches (id, tenant, principal, endpoint, input_file_id, completion_window, metadata, output_seconds,"
    " expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s)) RETURNING {}"
).format(FIELDS)
_GET = sql.SQL("SELECT {} FROM batches WHERE id = %s AND tenant = %s").format(FIELDS)
_PAGE = sql.SQL(
    "SELECT {} FROM batches WHERE tenant = %(tenant)s AND (%(after)s::text IS NULL OR (created_at, id) <"
    " (SELECT created_at, id FROM batches WHERE id = %(after)s AND tenant = %(tenant)s))"
    " ORDER BY created_at DESC, id DESC LIMIT %(limit)s"
).format(FIELDS)
# What is finalizing has all its answers: it is delivered.
_CANCEL = sql.SQL(
    "UPDATE batches SET status = 'cancelling', cancelling_at = now(), ending = 'cancelled', paused = NULL,"
    " resume_at = NULL WHERE id = %s AND tenant = %s AND status IN ('validating', 'in_progress') RETURNING {}"
).format(FIELDS)
_LOST = sql.SQL(
    "SELECT id FROM batches WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
    " AND coalesce(held_until, created_at) < now() - make_interval(secs => %s)"
    " AND coalesce(resume_at, created_at) < now() - make_interval(secs => %s)"
    " AND expires_at > now() - {}::interval ORDER BY expires_at LIMIT 1000"
).format(sql.Literal(_GIVEN_UP))


class BatchStore:
    """Table `batches`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, name: str, wanted: Asked) -> Batch:
        """A new batch, which begins with its validation."""
        values = (
            name,
            principal.tenant,
            Jsonb(dumped(principal)),
            wanted.endpoint,
            wanted.input_file_id,
            wanted.completion_window,
            None if wanted.metadata is None else Jsonb(wanted.metadata),
            wanted.output_seconds,
            WINDOW_SECONDS,
        )
        created = await self._rows(_INSERT, values)
        return created[0]

    async def get(self, tenant: str, name: str) -> Batch | None:
        """The tenant's batch of that name."""
        found = await self._rows(_GET, (name, tenant))
        return found[0] if found else None

    async def page(self, tenant: str, after: str | None, limit: int) -> list[Batch]:
        """The tenant's batches, the latest first, from behind `after`; one more than `limit` where there are more."""
        return await self._rows(_PAGE, {"tenant": tenant, "after": after, "limit": limit + 1})

    async def cancel(self, tenant: str, name: str) -> Batch | None:
        """Begin to cancel; None where there is nothing to cancel any more."""
        found = await self._rows(_CANCEL, (name, tenant))
        return found[0] if found else None

    async def lost(self, seconds: float) -> list[str]:
        """Batches that nobody has worked on for so many seconds though somebody should."""

        async def ask(connection: psycopg.AsyncConnection) -> list[str]:
            cursor = await connection.execute(_LOST, (seconds, seconds))
            return [str(row[0]) for row in await cursor.fetchall()]

        return await run(self._database, ask)

    async def _rows(self, statement: sql.Composed, values: Sequence[Any] | dict[str, Any]) -> list[Batch]:
        async def ask(connection: psycopg.AsyncConnection) -> list[Batch]:
            async with connection.cursor(row_factory=class_row(Batch)) as cursor:
                await cursor.execute(statement, values)
                return await cursor.fetchall()

        return await run(self._database, ask)
