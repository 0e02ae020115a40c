"""Tables that may not be there yet: a database that is being migrated is a store that is down, and no mistake."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg

from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

T = TypeVar("T")

DEADLINE_SECONDS = 2.0


async def run(
    database: Database, work: Callable[[psycopg.AsyncConnection], Awaitable[T]], deadline: float = DEADLINE_SECONDS
) -> T:
    """`database.run`; a schema that is not there yet is a store that is down.

    Raises:
        StoreDown: PostgreSQL does not answer, or is not migrated.
    """
    try:
        return await database.run(work, deadline)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise StoreDown("the database is not migrated yet") from error
