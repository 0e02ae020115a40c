"""Rows -> PostgreSQL, each once."""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from aiapp_service.billing.row import UsageRow
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

DEADLINE_SECONDS = 10.0
_COLUMNS = tuple(UsageRow.model_fields)
_INSERT = sql.SQL("INSERT INTO usage ({}) VALUES ({}) ON CONFLICT (request_id) DO NOTHING").format(
    sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)), sql.SQL(", ").join(map(sql.Placeholder, _COLUMNS))
)
# What is wrong with a row, rather than with the database.
_OF_THE_ROW = (psycopg.DataError, psycopg.IntegrityError)


async def write(database: Database, rows: Sequence[UsageRow]) -> dict[str, str]:
    """Commit `rows`; one that is there already stays as it is. Gives those refused: request_id -> why.

    Raises:
        StoreDown: PostgreSQL does not answer, or its schema is not (yet) that of this version. Try again later.
    """

    async def together(connection: psycopg.AsyncConnection) -> dict[str, str]:
        await insert(connection, rows)
        return {}

    async def apart(connection: psycopg.AsyncConnection) -> dict[str, str]:
        refused = {}
        async with connection.transaction():
            for row in rows:
                try:
                    # A savepoint: one that is refused undoes nothing else.
                    async with connection.transaction():
                        await connection.execute(_INSERT, row.model_dump())
                except _OF_THE_ROW as error:
                    refused[row.request_id] = _why(error)
        return refused

    try:
        try:
            return await database.run(together, DEADLINE_SECONDS)
        except _OF_THE_ROW:
            return await database.run(apart, DEADLINE_SECONDS)
    except psycopg.Error as error:
        raise StoreDown(f"PostgreSQL takes no rows of usage: {_why(error)}") from error


async def insert(connection: psycopg.AsyncConnection, rows: Sequence[UsageRow]) -> None:
    """Add `rows` within the transaction that `connection` is in; one that is there already stays as it is."""
    async with connection.cursor() as cursor:
        await cursor.executemany(_INSERT, [row.model_dump() for row in rows])


def _why(error: psycopg.Error) -> str:
    """Without the detail, which repeats values."""
    return error.diag.message_primary or type(error).__name__
