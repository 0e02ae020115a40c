"""The chunks of all stores in PostgreSQL: texts, words, places, and vectors where these are kept here too."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from aiapp_service.retrieval.index import Hit, Place, Query, Written
from aiapp_service.retrieval.search_sql import Statement
from aiapp_service.retrieval.words import TERMS, Words
from aiapp_service.retrieval.writing import ALL, TEXTS, values
from aiapp_service.stores.breaker import StoreDown, StoreRefused
from aiapp_service.stores.postgres import Database

T = TypeVar("T")

DEADLINE_SECONDS = 2.0
# For what nobody waits for: a job writes, or a store with everything in it goes.
WRITE_SECONDS = 30.0
# Counting a store of so many chunks takes about a millisecond; larger ones rarely become small again.
SMALL = 5_000
SIZE_SECONDS = 600.0
MOST_COUNTED = 500_000

_SIZE = """
    SELECT count(*) FROM (SELECT FROM vector_store_chunks WHERE store_id = %(store)s LIMIT %(most)s) AS first_ones
"""
_HASHES = """
    SELECT number, hash FROM vector_store_chunks WHERE store_id = %(store)s AND file_id = %(file)s
        AND tenant = %(tenant)s AND id = ANY(%(ids)s)
"""
_DELETE_FILE = """
    WITH gone AS (SELECT id FROM vector_store_chunks WHERE store_id = %(store)s AND file_id = %(file)s),
    deleted AS (DELETE FROM vector_store_files
        WHERE store_id = %(store)s AND file_id = %(file)s AND tenant = %(tenant)s RETURNING 1)
    SELECT EXISTS (SELECT FROM deleted), ARRAY(SELECT id FROM gone)
"""
_IDS = """
    SELECT id FROM vector_store_chunks WHERE store_id = %(store)s AND file_id = %(file)s AND tenant = %(tenant)s
"""
_DELETE_STORE = "DELETE FROM vector_stores WHERE id = %(store)s AND tenant = %(tenant)s"
_DESCRIBE = """
    UPDATE vector_store_files SET attributes = %(attributes)s
    WHERE store_id = %(store)s AND file_id = %(file)s AND tenant = %(tenant)s
"""


class ChunkTable:
    """Each method raises StoreDown where PostgreSQL does not answer, or has no such table yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sizes: dict[str, tuple[int, float]] = {}

    async def hashes(self, place: Place, numbers: range) -> dict[int, bytes]:
        """Of the chunks with these numbers that this reading has written: the hashes of their texts."""
        fields = {
            "tenant": place.tenant,
            "store": place.store,
            "file": place.file,
            "ids": [place.chunk_id(number) for number in numbers],
        }
        rows = await self.run(lambda c: _all(c, _HASHES, fields), WRITE_SECONDS)
        return {number: bytes(hash_) for number, hash_ in rows}

    async def write(self, files: Sequence[Written], *, vectors: bool) -> list[bool]:
        """Add chunks of several files, with their vectors or without; gives for each whether it is still wanted."""
        statement, fields = ALL if vectors else TEXTS, values(files, vectors=vectors)
        live = {row[0] for row in await self.run(lambda c: _all(c, statement, fields), WRITE_SECONDS)}
        return [which in live for which in range(1, len(files) + 1)]

    async def delete_file(self, tenant: str, store: str, file: str) -> list[UUID] | None:
        """Remove a file; gives the ids of its chunks, None where there is no such file."""
        fields = {"tenant": tenant, "store": store, "file": file}
        rows = await self.run(lambda c: _all(c, _DELETE_FILE, fields), WRITE_SECONDS)
        return list(rows[0][1]) if rows[0][0] else None

    async def ids(self, tenant: str, store: str, file: str) -> list[UUID]:
        """Of the chunks of a file."""
        fields = {"tenant": tenant, "store": store, "file": file}
        return [row[0] for row in await self.run(lambda c: _all(c, _IDS, fields), WRITE_SECONDS)]

    async def delete_store(self, tenant: str, store: str) -> bool:
        """Remove a store with everything in it; False where there is none."""
        fields = {"tenant": tenant, "store": store}
        return await self.run(lambda c: _count(c, _DELETE_STORE, fields), WRITE_SECONDS) > 0

    async def describe(self, tenant: str, store: str, file: str, attributes: dict[str, Any]) -> bool:
        """Give a file these attributes; False where there is none."""
        fields = {"tenant": tenant, "store": store, "file": file, "attributes": Jsonb(attributes)}
        return await self.run(lambda c: _count(c, _DESCRIBE, fields)) > 0

    async def words(self, query: Query) -> Words | None:
        """The words of a query; None: it has none, or none that say anything."""
        if query.text is None:
            return None
        fields = {"text": query.text}
        terms = await self.run(lambda c: _all(c, TERMS, fields))
        return Words.of([(t[0], t[1], t[2]) for t in terms], await self.size(query.store)) if terms else None

    async def size(self, store: str) -> int:
        """How many chunks a store has: up to SMALL as they are, of larger ones as they were a while ago."""
        now = asyncio.get_running_loop().time()
        count, until = self._sizes.get(store, (0, 0.0))
        if now >= until:
            fields = {"store": store, "most": MOST_COUNTED}
            ((count,),) = await self.run(lambda c: _all(c, _SIZE, fields))
            if count > SMALL:
                self._sizes[store] = (count, now + SIZE_SECONDS)
            else:
                self._sizes.pop(store, None)
        return int(count)

    async def search(self, statement: Statement, settings: str = "") -> list[Hit]:
        """What the statement finds; `settings` are run before it, in its transaction."""

        async def find(connection: psycopg.AsyncConnection) -> list[tuple[Any, ...]]:
            # Both go out together.
            async with connection.pipeline():
                if settings:
                    await connection.execute(settings)
                cursor = await connection.execute(*statement)
                return await cursor.fetchall()

        return [Hit(*row) for row in await self.run(find)]

    async def run(
        self, work: Callable[[psycopg.AsyncConnection], Awaitable[T]], deadline: float = DEADLINE_SECONDS
    ) -> T:
        """The result of `work` in a transaction."""
        try:
            return await self._database.run(work, deadline)
        except psycopg.errors.UndefinedTable as error:
            raise StoreDown("the database is not migrated yet") from error
        except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedObject) as error:
            remedy = "make the extension `vector` (pgvector) 0.8 available in it, and run `aiapp-service migrate`"
            raise StoreRefused(f"the database of spec.postgres cannot keep vectors: {remedy}") from error
        except psycopg.DataError as error:
            # NUL in a name, or a number out of every range: nothing that could be there.
            raise StoreRefused(f"PostgreSQL refuses a value: {type(error).__name__}") from error


async def _all(connection: psycopg.AsyncConnection, statement: str, fields: dict[str, Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, fields)).fetchall()


async def _count(connection: psycopg.AsyncConnection, statement: str, fields: dict[str, Any]) -> int:
    return (await connection.execute(statement, fields)).rowcount
