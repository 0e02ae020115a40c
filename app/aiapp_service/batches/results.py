"""What came of lines, kept in PostgreSQL before it counts.

Results are gathered while those before them are written: one commit takes all that is there. The row of the ledger
is part of the same commit, so that each line that has a result is billed, and once.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from aiapp_service.batches.hold import Hold, HoldLost
from aiapp_service.billing.row import UsageRow
from aiapp_service.billing.writer import insert
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database
from aiapp_service.stores.schema import run

log = logging.getLogger(__name__)

MOST_AT_ONCE = 500
# A commit costs as much as some ten lines: a few are waited for, if they come soon.
GATHER_LINES = 24
GATHER_SECONDS = 0.025
COMMIT_SECONDS = 10.0
RETRY_SECONDS = 0.5
_PUT = (
    "INSERT INTO batch_lines (batch, number, succeeded, result)"
    " SELECT %s, * FROM unnest(%s::int[], %s::bool[], %s::bytea[]) ON CONFLICT DO NOTHING RETURNING number"
)
_COUNT = (
    "UPDATE batches SET completed = completed + %s, failed = failed + %s, input_tokens = input_tokens + %s,"
    " cached_tokens = cached_tokens + %s, output_tokens = output_tokens + %s, reasoning_tokens = reasoning_tokens + %s,"
    " paused = NULL WHERE id = %s AND holder = %s RETURNING id"
)
_DONE = "SELECT number FROM batch_lines WHERE batch = %s"


@dataclass(frozen=True)
class Result:
    """One line as it will stand in the output (`succeeded`) or error file."""

    number: int
    succeeded: bool
    text: bytes
    row: UsageRow | None = None


def answered(batch: str, number: int, custom_id: str, status: int, request_id: str, body: bytes) -> bytes:
    """A line of an output file; an answer that is no success is one of the error file."""
    if b"\n" in body or b"\r" in body:
        body = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
    head = f'{{"id": "batch_req_{batch.removeprefix("batch_")}_{number}", "custom_id": {json.dumps(custom_id)}, '
    response = f'"response": {{"status_code": {status}, "request_id": {json.dumps(request_id)}, "body": '
    return b"".join(((head + response).encode(), body, b'}, "error": null}'))


def not_answered(batch: str, number: int, custom_id: str, code: str, message: str) -> bytes:
    """A line of an error file, of a request that was not asked to its end."""
    document = {
        "id": f"batch_req_{batch.removeprefix('batch_')}_{number}",
        "custom_id": custom_id,
        "response": None,
        "error": {"code": code, "message": message},
    }
    return json.dumps(document).encode()


class Results:
    """The results of one run."""

    def __init__(self, database: Database, hold: Hold) -> None:
        self._database = database
        self._hold = hold
        self._waiting: list[Result] = []
        self._wake = asyncio.Event()
        self._enough = asyncio.Event()
        self._written = asyncio.Condition()
        self._under_way = 0
        self._ended = False

    @property
    def not_written(self) -> int:
        """How many are not known to be kept."""
        return len(self._waiting) + self._under_way

    async def done(self) -> set[int]:
        """Numbers of the lines that have a result."""

        async def ask(connection: psycopg.AsyncConnection) -> set[int]:
            cursor = await connection.execute(_DONE, (self._hold.batch.id,))
            return {row[0] for row in await cursor.fetchall()}

        return await run(self._database, ask, COMMIT_SECONDS)

    async def put(self, result: Result, most: int) -> None:
        """Have it written soon; waits while more than `most` are not written yet."""
        self._waiting.append(result)
        self._wake.set()
        if len(self._waiting) >= GATHER_LINES:
            self._enough.set()
        if self.not_written > most:
            await self._until(most)

    async def flush(self) -> None:
        """Wait until all are written.

        Raises:
            HoldLost: they cannot be.
        """
        await self._until(0)
        if self.not_written:
            raise HoldLost

    async def flush_in(self, seconds: float) -> None:
        """Write what can be written in so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._until(0)

    async def _until(self, most: int) -> None:
        async with self._written:
            await self._written.wait_for(lambda: self.not_written <= most or self._ended)

    async def write(self) -> None:
        """Until cancelled: write what waits, however long PostgreSQL is down.

        Raises:
            HoldLost: somebody else works on the batch now.
        """
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._gather()
                    await self._next()
        finally:
            self._ended = True
            async with self._written:
                self._written.notify_all()

    async def _gather(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                await self._enough.wait()

    async def _next(self) -> None:
        self._enough.clear()
        some, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        self._under_way = len(some)
        await self._commit(some)
        self._under_way = 0
        async with self._written:
            self._written.notify_all()

    async def _commit(self, some: Sequence[Result]) -> None:
        said = False
        while True:
            try:
                await run(self._database, lambda connection: self._put(connection, some), COMMIT_SECONDS)
            except StoreDown as error:
                if not said:
                    log.warning("results wait", extra={"batch": self._hold.batch.id, "error": str(error)})
                said = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _put(self, connection: psycopg.AsyncConnection, some: Sequence[Result]) -> None:
        batch = self._hold.batch.id
        columns = [one.number for one in some], [one.succeeded for one in some], [one.text for one in some]
        # One of which the answer got lost is there already, and counted.
        numbers = {row[0] for row in await (await connection.execute(_PUT, (batch, *columns))).fetchall()}
        new = [one for one in some if one.number in numbers]
        rows = [one.row for one in new if one.row is not None]
        if rows:
            await insert(connection, rows)
        completed = sum(one.succeeded for one in new)
        tokens = [
            sum(getattr(row, name) for row in rows)
            for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
        ]
        values = (completed, len(new) - completed, *tokens, batch, self._hold.token)
        if await (await connection.execute(_COUNT, values)).fetchone() is None:
            raise HoldLost
