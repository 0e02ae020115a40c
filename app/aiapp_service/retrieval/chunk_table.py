"""The chunks of all stores in PostgreSQL: texts, words, places, and vectors where these are kept here too."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from aiapp_service.retrieval.index import Embedded, Gone, Hit, Place
from aiapp_service.retrieval.search_sql import Statement, literal
from aiapp_service.stores.breaker import StoreDown, StoreRefused
from aiapp_service.stores.postgres import Database

T = TypeVar("T")

DEADLINE_SECONDS = 2.0
# For what nobody waits for: a job writes, or a store with everything in it goes.
WRITE_SECONDS = 30.0

_LIVE = """
    live AS (SELECT FROM vector_store_files WHERE store_id = %(store)s AND file_id = %(file)s AND tenant = %(tenant)s
        AND ingestion = %(ingestion)s AND status = 'in_progress' FOR UPDATE)
"""
_WRITE = f"""
    WITH {_LIVE}, given AS (
        SELECT * FROM unnest(%(ids)s::uuid[], %(numbers)s::int[], %(hashes)s::bytea[], %(texts)s::text[],
            %(starts)s::int[], %(ends)s::int[], %(pages)s::int[]{{more}})
            AS g(id, number, hash, text, starts_at, ends_at, page{{column}})
    ), written AS (
        INSERT INTO vector_store_chunks
            (id, store_id, file_id, tenant, number, hash, text, starts_at, ends_at, page{{columns}})
        SELECT id, %(store)s, %(file)s, %(tenant)s, number, hash, text, starts_at, ends_at, page{{values}}
        FROM given, live
        ON CONFLICT (id) DO UPDATE SET (hash, text, starts_at, ends_at, page{{columns}})
            = (excluded.hash, excluded.text, excluded.starts_at, excluded.ends_at, excluded.page{{updates}})
    )
    SELECT EXISTS (SELECT FROM live)
"""  # noqa: S608  # all parts are ours
_WRITE_TEXTS = _WRITE.format(more="", column="", columns="", values="", updates="")
_WRITE_ALL = _WRITE.format(
    more=", %(vectors)s::text[]",
    column=", vector",
    columns=", embedding, dimensions",
    values=", vector::halfvec, %(dimensions)s",
    updates=", excluded.embedding, excluded.dimensions",
)
_FINISH = f"""
    WITH {_LIVE}
    UPDATE vector_store_files SET status = 'completed', usage_bytes = (
        SELECT coalesce(sum(octet_length(text)), 0) FROM vector_store_chunks
        WHERE store_id = %(store)s AND file_id = %(file)s
    ) FROM live WHERE store_id = %(store)s AND file_id = %(file)s
"""  # noqa: S608  # made of constants
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

    async def hashes(self, place: Place, numbers: range) -> dict[int, bytes]:
        """Of the chunks with these numbers that this reading has written: the hashes of their texts."""
        fields = {**_fields(place), "ids": [place.chunk_id(number) for number in numbers]}
        rows = await self.run(lambda c: _all(c, _HASHES, fields), WRITE_SECONDS)
        return {number: bytes(hash_) for number, hash_ in rows}

    async def write(self, place: Place, chunks: Sequence[Embedded], *, vectors: bool) -> None:
        """Add chunks, with their vectors or without.

        Raises:
            Gone: nobody waits for them any more.
        """
        fields: dict[str, Any] = {
            **_fields(place),
            "ids": [place.chunk_id(e.chunk.number) for e in chunks],
            "numbers": [e.chunk.number for e in chunks],
            "hashes": [e.chunk.hash for e in chunks],
            "texts": [e.chunk.text for e in chunks],
            "starts": [e.chunk.start for e in chunks],
            "ends": [e.chunk.end for e in chunks],
            "pages": [e.chunk.page for e in chunks],
        }
        if vectors:
            fields["vectors"] = [literal(e.vector) for e in chunks]
            fields["dimensions"] = len(chunks[0].vector)
        statement = _WRITE_ALL if vectors else _WRITE_TEXTS
        rows = await self.run(lambda c: _all(c, statement, fields), WRITE_SECONDS)
        if not rows[0][0]:
            raise Gone

    async def finish(self, place: Place) -> None:
        """All chunks of the file are there.

        Raises:
            Gone: nobody waits for it any more.
        """
        if not await self.run(lambda c: _count(c, _FINISH, _fields(place)), WRITE_SECONDS):
            raise Gone

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


def _fields(place: Place) -> dict[str, Any]:
    return {"tenant": place.tenant, "store": place.store, "file": place.file, "ingestion": place.ingestion}


async def _all(connection: psycopg.AsyncConnection, statement: str, fields: dict[str, Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, fields)).fetchall()


async def _count(connection: psycopg.AsyncConnection, statement: str, fields: dict[str, Any]) -> int:
    return (await connection.execute(statement, fields)).rowcount
