"""Results -> output and error file, page after page: as much memory for fifty thousand lines as for a hundred."""

from collections.abc import AsyncIterator
from functools import partial

import psycopg

from aiapp_service.batches.hold import Hold
from aiapp_service.batches.record import Status
from aiapp_service.batches.source import exists, write
from aiapp_service.storage.files import Files
from aiapp_service.stores.postgres import Database
from aiapp_service.stores.schema import run

PAGE_SECONDS = 10.0
# Of lines, and of bytes: at least one line, however long.
_PAGE = (
    "SELECT number, result FROM (SELECT number, result, sum(octet_length(result)) OVER (ORDER BY number)"
    " - octet_length(result) AS before FROM (SELECT number, result FROM batch_lines WHERE batch = %s"
    " AND succeeded = %s AND number > %s ORDER BY number LIMIT 500) AS next) AS page WHERE before < 1048576"
    " ORDER BY number"
)


async def deliver(database: Database, files: Files, hold: Hold) -> None:
    """Write what there is, and end the batch.

    Raises:
        StoreDown: try again; what was written stays written.
        HoldLost: somebody else does.
    """
    batch = hold.batch
    for succeeded, column, filename in (
        (True, "output_file_id", f"{batch.id}_output.jsonl"),
        (False, "error_file_id", f"{batch.id}_error.jsonl"),
    ):
        name = getattr(batch, column)
        if name is not None and await exists(files, batch.tenant, name):
            continue
        if await _page(database, batch.id, succeeded, 0):
            lines = _lines(database, batch.id, succeeded)
            noted = partial(_note, hold, column)
            await write(files, batch.tenant, filename, lines, batch.output_seconds, noted)
    ending = Status(batch.ending or Status.COMPLETED)
    await hold.change({"status": ending, "paused": None}, stamp=f"{ending}_at", drop_lines=True)


async def _note(hold: Hold, column: str, name: str) -> None:
    await hold.change({column: name})


async def _lines(database: Database, batch: str, succeeded: bool) -> AsyncIterator[bytes]:
    last = 0
    while page := await _page(database, batch, succeeded, last):
        last = page[-1][0]
        yield b"\n".join(text for _, text in page) + b"\n"


async def _page(database: Database, batch: str, succeeded: bool, last: int) -> list[tuple[int, bytes]]:
    async def ask(connection: psycopg.AsyncConnection) -> list[tuple[int, bytes]]:
        cursor = await connection.execute(_PAGE, (batch, succeeded, last), binary=True)
        return [(int(row[0]), bytes(row[1])) for row in await cursor.fetchall()]

    return await run(database, ask, PAGE_SECONDS)
