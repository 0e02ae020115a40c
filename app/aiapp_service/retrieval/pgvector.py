"""Vectors in PostgreSQL, by pgvector.

A small store is compared as a whole: that is exact, and quick because its chunks are found by an index of their own.
A large one is searched by the index of its number of dimensions (HNSW), which all stores share: the search goes on in
it until enough chunks of the store have been met, that fulfil the filter.
"""

from collections.abc import Sequence
from typing import Any

from aiapp_service.retrieval.chunk_table import SMALL, ChunkTable
from aiapp_service.retrieval.index import Hit, Place, Query, Written
from aiapp_service.retrieval.search_sql import Search, candidates
from aiapp_service.stores.postgres import Database

MOST_EXACT = SMALL
_LEAST_EFFORT = 100
_MOST_EFFORT = 1000


class PgvectorIndex:
    """Everything in one database."""

    def __init__(self, database: Database) -> None:
        self._table = ChunkTable(database)

    async def hashes(self, place: Place, numbers: range) -> dict[int, bytes]:
        """Of the chunks with these numbers that this reading has written: the hashes of their texts."""
        return await self._table.hashes(place, numbers)

    async def write(self, files: Sequence[Written]) -> list[bool]:
        """Add chunks of several files."""
        return await self._table.write(files, vectors=True)

    async def delete(self, tenant: str, store: str, file: str | None = None) -> bool:
        """Remove a file with its chunks, or the whole store; False where there is none."""
        if file is None:
            return await self._table.delete_store(tenant, store)
        return await self._table.delete_file(tenant, store, file) is not None

    async def describe(self, tenant: str, store: str, file: str, attributes: dict[str, Any]) -> bool:
        """Give a file these attributes; False where there is none."""
        return await self._table.describe(tenant, store, file, attributes)

    async def search(self, query: Query) -> list[Hit]:
        """The best chunks, best first."""
        search = Search(query, await self._table.words(query))
        if query.vector is None:
            return await self._table.search(search.by_text()) if search.has_words else []
        if await self._table.size(query.store) <= MOST_EXACT:
            return await self._table.search(search.by_vectors(exact=True))
        effort = min(_MOST_EFFORT, max(_LEAST_EFFORT, candidates(query)))
        # One statement: a pipeline takes no more at once.
        values = (("hnsw.iterative_scan", "strict_order"), ("hnsw.ef_search", str(effort)))
        settings = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in values)
        return await self._table.search(search.by_vectors(exact=False), settings)

    async def close(self) -> None:
        """The connections are the database's."""
