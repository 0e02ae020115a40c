"""Vectors in another store, everything else in PostgreSQL: texts, words, attributes, and what belongs to whom.

Vectors are written first and texts then, so that a text that is there has its vector; a vector without a text is never
given to anybody. Words are always looked up in PostgreSQL, which puts both lists together.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from aiapp_service.retrieval.chunk_table import ChunkTable
from aiapp_service.retrieval.index import Hit, Place, Query, Written
from aiapp_service.retrieval.search_sql import Search, candidates
from aiapp_service.stores.postgres import Database


class Vectors(Protocol):
    """A store of vectors. Each method raises StoreDown or StoreRefused where it does not answer or let us."""

    async def put(self, place: Place, vectors: Sequence[tuple[UUID, Sequence[float]]]) -> None:
        """Add vectors, in place of those of the same ids."""

    async def remove(self, ids: Sequence[UUID], tenant: str) -> None:
        """Remove vectors; that there are none of these ids is no error."""

    async def remove_store(self, tenant: str, store: str) -> None:
        """Remove all vectors of a store."""

    async def describe(self, place: Place, ids: Sequence[UUID]) -> None:
        """Let filters see the attributes of `place`, and no others; `ids` are its vectors."""

    async def nearest(self, query: Query, limit: int) -> list[tuple[UUID, float]]:
        """Ids and cosines of the vectors that are nearest, nearest first."""

    async def check(self) -> None:
        """Raise whatever says that it does not answer."""

    async def close(self) -> None:
        """Give up the connections."""


class SplitIndex:
    """An index made of both."""

    def __init__(self, database: Database, vectors: Vectors) -> None:
        self._table = ChunkTable(database)
        self._vectors = vectors

    async def hashes(self, place: Place, numbers: range) -> dict[int, bytes]:
        """Of the chunks with these numbers that this reading has written: the hashes of their texts."""
        return await self._table.hashes(place, numbers)

    async def write(self, files: Sequence[Written]) -> list[bool]:
        """Add chunks of several files."""
        await asyncio.gather(*(self._put(file) for file in files))
        wanted = await self._table.write(files, vectors=False)
        for file, is_wanted in zip(files, wanted, strict=True):
            if file.chunks and not is_wanted:
                ids = [file.place.chunk_id(entry.chunk.number) for entry in file.chunks]
                await self._vectors.remove(ids, file.place.tenant)
        return wanted

    async def _put(self, file: Written) -> None:
        if file.chunks:
            vectors = [(file.place.chunk_id(entry.chunk.number), entry.vector) for entry in file.chunks]
            await self._vectors.put(file.place, vectors)

    async def delete(self, tenant: str, store: str, file: str | None = None) -> bool:
        """Remove a file with its chunks, or the whole store; False where there is none."""
        if file is not None:
            ids = await self._table.delete_file(tenant, store, file)
            if ids:
                await self._vectors.remove(ids, tenant)
            return ids is not None
        found = await self._table.delete_store(tenant, store)
        if found:
            await self._vectors.remove_store(tenant, store)
        return found

    async def describe(self, tenant: str, store: str, file: str, attributes: dict[str, Any]) -> bool:
        """Give a file these attributes; False where there is none."""
        found = await self._table.describe(tenant, store, file, attributes)
        if found:
            place = Place(tenant, store, file, "", attributes)
            await self._vectors.describe(place, await self._table.ids(tenant, store, file))
        return found

    async def search(self, query: Query) -> list[Hit]:
        """The best chunks, best first."""
        search = Search(query, await self._table.words(query))
        if query.vector is None:
            return await self._table.search(search.by_text()) if search.has_words else []
        return await self._table.search(search.by_ids(await self._vectors.nearest(query, candidates(query))))

    async def check(self) -> None:
        """Raise whatever says that the store of vectors does not answer."""
        await self._vectors.check()

    async def close(self) -> None:
        """Give up the connections."""
        await self._vectors.close()
