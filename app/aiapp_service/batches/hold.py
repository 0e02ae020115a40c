"""Who works on a batch: one run at a time, for as long as it says again that it is there.

The lock of a job ends when Redis is gone for a while, this one does not: it is kept where the results are. A run that
has lost it cannot write any more, so that a batch is never worked on by two.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from aiapp_service.batches.record import Batch, Status
from aiapp_service.batches.store import FIELDS
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database
from aiapp_service.stores.schema import run

log = logging.getLogger(__name__)

HOLD_SECONDS = 15.0
RENEW_SECONDS = 1.0
_TAKE = sql.SQL(
    "UPDATE batches SET holder = %s, held_until = now() + make_interval(secs => %s), resume_at = NULL WHERE id = %s"
    " AND status NOT IN ('failed', 'completed', 'expired', 'cancelled') AND (held_until IS NULL OR held_until < now())"
    " AND (resume_at IS NULL OR resume_at < now() + interval '1 second') RETURNING {}"
).format(FIELDS)
_LEFT = (
    "SELECT greatest(extract(epoch FROM coalesce(held_until, now()) - now()),"
    " extract(epoch FROM coalesce(resume_at, now()) - now()))::float8"
    " FROM batches WHERE id = %s AND status NOT IN ('failed', 'completed', 'expired', 'cancelled')"
)
_RENEW = (
    "UPDATE batches SET held_until = now() + make_interval(secs => %s) WHERE id = %s AND holder = %s RETURNING status"
)


class HoldLost(Exception):
    """Somebody else works on the batch now; nothing may be written any more."""


class Hold:
    """The right to write to one batch. `batch` is as it was when it was taken, or last changed through this."""

    def __init__(self, database: Database, batch: Batch, token: str) -> None:
        self._database = database
        self.batch = batch
        self.token = token
        self.cancelling = asyncio.Event()
        self.lost = asyncio.Event()
        if batch.status == Status.CANCELLING:
            self.cancelling.set()

    async def change(
        self,
        values: Mapping[str, Any],
        *,
        within: Status | None = None,
        stamp: str | None = None,
        drop_lines: bool = False,
    ) -> None:
        """Set columns, `stamp` to the time that it is, and remove the lines where they are not needed any more.

        A batch whose status is not `within` any more, for somebody cancels it, stays as it is. Either way `batch` is
        up to date afterwards.

        Raises:
            HoldLost: it is not ours.
            StoreDown: it is not known whether it was done.
        """
        settings = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values]
        if stamp is not None:
            settings.append(sql.SQL("{} = now()").format(sql.Identifier(stamp)))
        ours = sql.SQL("id = {} AND holder = {}").format(self.batch.id, self.token)
        still = sql.SQL("true") if within is None else sql.SQL("status = {}").format(str(within))
        statement = sql.SQL("UPDATE batches SET {} WHERE {} AND {} RETURNING {}").format(
            sql.SQL(", ").join(settings), ours, still, FIELDS
        )
        look = sql.SQL("SELECT {} FROM batches WHERE {}").format(FIELDS, ours)
        given = [Jsonb(value) if isinstance(value, (dict, list)) else value for value in values.values()]

        async def write(connection: psycopg.AsyncConnection) -> Batch | None:
            async with connection.cursor(row_factory=class_row(Batch)) as cursor:
                await cursor.execute(statement, given)
                found = await cursor.fetchone()
                if found is None:
                    return await (await cursor.execute(look)).fetchone()
                if drop_lines:
                    await cursor.execute("DELETE FROM batch_lines WHERE batch = %s", (self.batch.id,))
                return found

        changed = await run(self._database, write, HOLD_SECONDS)
        if changed is None:
            raise HoldLost
        self.batch = changed
        if changed.status == Status.CANCELLING:
            self.cancelling.set()

    async def renew(self) -> None:
        """Until cancelled: stay, and hear of what others do to the batch."""

        async def write(connection: psycopg.AsyncConnection) -> str | None:
            cursor = await connection.execute(_RENEW, (HOLD_SECONDS, self.batch.id, self.token))
            row = await cursor.fetchone()
            return None if row is None else str(row[0])

        while True:
            await asyncio.sleep(RENEW_SECONDS)
            # Whoever cannot ask goes on: what is written is refused where the hold is lost.
            with contextlib.suppress(StoreDown):
                status = await run(self._database, write)
                if status is None:
                    self.lost.set()
                    return
                if status == Status.CANCELLING:
                    self.cancelling.set()


@asynccontextmanager
async def held(database: Database, name: str) -> AsyncIterator[Hold | None]:
    """Hold the batch while the context lasts; None: it has ended, or somebody else works on it, or it has to wait.

    Raises:
        StoreDown: PostgreSQL does not answer.
    """
    token = uuid.uuid4().hex

    async def take(connection: psycopg.AsyncConnection) -> Batch | None:
        async with connection.cursor(row_factory=class_row(Batch)) as cursor:
            await cursor.execute(_TAKE, (token, HOLD_SECONDS, name))
            return await cursor.fetchone()

    batch = await run(database, take)
    if batch is None:
        yield None
        return
    hold = Hold(database, batch, token)
    renewing = asyncio.create_task(hold.renew())
    try:
        yield hold
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        with contextlib.suppress(StoreDown, HoldLost):
            await hold.change({"holder": None, "held_until": None})


async def seconds_left(database: Database, name: str) -> float | None:
    """How long a batch is held, or waits; None where nothing is to be done for it any more."""

    async def ask(connection: psycopg.AsyncConnection) -> float | None:
        row = await (await connection.execute(_LEFT, (name,))).fetchone()
        return None if row is None else float(row[0])

    return await run(database, ask)
