"""Statements about vector stores, and what PostgreSQL may have against them."""

from typing import Any

import psycopg
from psycopg import sql

from aiapp_service.stores.breaker import StoreDown, StoreRefused
from aiapp_service.stores.postgres import Database

DEADLINE_SECONDS = 2.0


class Table:
    """Base of those that know the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, statement: sql.SQL | sql.Composed, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement in a transaction of its own.

        Raises:
            StoreDown: PostgreSQL does not answer, or has no such table yet.
            StoreRefused: a value is nothing that a column could hold.
        """

        async def ask(connection: psycopg.AsyncConnection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

        try:
            return await self._database.run(ask, DEADLINE_SECONDS)
        except psycopg.errors.UndefinedTable as error:
            raise StoreDown("the database is not migrated yet") from error
        except psycopg.DataError as error:
            raise StoreRefused(f"PostgreSQL refuses a value: {type(error).__name__}") from error
