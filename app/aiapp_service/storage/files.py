"""Files of tenants: what they are stands in PostgreSQL, what is in them is an object.

Nothing is lost or leaked when a process ends in the middle: the row comes first, seen by nobody; then the object;
then the row is let be seen. A file that is deleted is marked first, then its object goes, then its row. What a
process that is gone has left is found by its row, and removed by the sweeper: see `sweep`.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self

from aiapp_service.storage.file_rows import File, FileRows
from aiapp_service.storage.objects import ObjectStore, ObjectStoreError, Stored
from aiapp_service.storage.purposes import HEAD_BYTES
from aiapp_service.storage.uploads import Uploads
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

__all__ = ["Draft", "File", "FileMissing", "Files"]

log = logging.getLogger(__name__)

FOLDER = "files/"
# Longer than an upload can last.
ABANDONED = timedelta(days=1)
# Whoever deletes a file removes its object itself, if it can.
SETTLED = timedelta(minutes=5)
_SWEEP = 200


class FileMissing(Exception):
    """The tenant has no such file."""


class Draft:
    """A file that is coming in. Unless it is kept it is gone when the context ends."""

    def __init__(self, rows: FileRows, objects: ObjectStore, tenant: str) -> None:
        self._rows = rows
        self._objects = objects
        self._tenant = tenant
        self._stored: Stored | None = None
        self._begun = False
        self.id = f"file-{secrets.token_hex(16)}"
        self.head = b""

    @property
    def received(self) -> bool:
        """Whether its bytes are there."""
        return self._stored is not None

    async def receive(
        self, filename: str, content_type: str, chunks: AsyncIterator[bytes], most_bytes: int | None = None
    ) -> None:
        """Write its bytes; their beginning is `head` from then on.

        Raises:
            TooLarge: there are more than `most_bytes`.
            StoreDown, ObjectStoreError: they cannot be written.
        """
        self._begun = True
        await self._rows.begin(self.id, self._tenant, filename, content_type)
        async with aclosing(self._looked_at(chunks)) as seen:
            self._stored = await self._objects.put(
                key_of(self.id), seen, content_type=content_type, most_bytes=most_bytes
            )

    async def keep(self, purpose: str, expires_after: timedelta | None = None) -> File:
        """Let it be seen.

        Raises:
            StoreDown: PostgreSQL does not answer.
        """
        file = await self.keep_with(lambda size, sha256: self._rows.keep(self.id, purpose, size, sha256, expires_after))
        if file is None:
            raise StoreDown("the upload took too long")
        return file

    async def keep_with(self, keep: Callable[[int, str], Awaitable[File | None]]) -> File | None:
        """Let it be seen by `keep`, which is given its size and SHA-256; None: it is not to be."""
        if self._stored is None:
            raise ValueError("nothing was received")
        file = await keep(self._stored.size, self._stored.sha256)
        self._begun = file is None
        return file

    async def _looked_at(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for chunk in chunks:
            if len(self.head) < HEAD_BYTES:
                self.head += chunk[: HEAD_BYTES - len(self.head)]
            yield chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._begun:
            # Also for a client that has left, whose handler is cancelled.
            await asyncio.shield(asyncio.create_task(self._discard()))

    async def _discard(self) -> None:
        try:
            await self._rows.abandon(self.id)
            await self._objects.delete(key_of(self.id))
            await self._rows.forget([self.id])
        except (StoreDown, ObjectStoreError) as error:
            log.warning("upload left to the sweeper", extra={"file": self.id, "error": str(error)})


class Files:
    """Methods raise StoreDown where a store does not answer, and ObjectStoreRefused where one does not let us."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._rows = FileRows(database)
        self._objects = objects
        self.uploads = Uploads(database, objects, self)

    def draft(self, tenant: str) -> Draft:
        """For a file whose purpose may be known after its bytes; a context manager."""
        return Draft(self._rows, self._objects, tenant)

    async def create(
        self,
        tenant: str,
        purpose: str,
        filename: str,
        content_type: str,
        chunks: AsyncIterator[bytes],
        *,
        most_bytes: int | None = None,
        expires_after: timedelta | None = None,
    ) -> File:
        """Write a file; whatever goes wrong, nothing of it stays.

        Raises:
            TooLarge: there are more than `most_bytes`.
        """
        async with self.draft(tenant) as draft:
            await draft.receive(filename, content_type, chunks, most_bytes)
            return await draft.keep(purpose, expires_after)

    async def get(self, tenant: str, id_: str) -> File:
        """What is known of a file.

        Raises:
            FileMissing: the tenant has none of this name.
        """
        found = await self._rows.get(tenant, id_)
        if found is None:
            raise FileMissing(id_)
        return found

    async def list(
        self,
        tenant: str,
        *,
        purpose: str | None = None,
        limit: int = 100,
        after: str | None = None,
        newest_first: bool = True,
    ) -> tuple[list[File], bool]:
        """At most `limit` files in the order of time, and whether there are more behind them.

        Raises:
            FileMissing: there is no file `after`.
        """
        behind = await self.get(tenant, after) if after is not None else None
        found = await self._rows.page(tenant, purpose, limit + 1, behind, newest_first=newest_first)
        return found[:limit], len(found) > limit

    async def content(self, tenant: str, id_: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes of a file from `start` on.

        Raises:
            FileMissing: the tenant has none of this name.
            ObjectMissing: its object is gone.
        """
        file = await self.get(tenant, id_)
        async with self.opened(file, start) as chunks:
            async for chunk in chunks:
                yield chunk

    async def read(self, id_: str, most_bytes: int) -> bytes:
        """The whole of a file that the caller knows to be there, and the tenant's.

        Raises:
            ObjectMissing: its object is gone.
            TooLarge: it has more than `most_bytes`.
        """
        return await self._objects.read(key_of(id_), most_bytes)

    @asynccontextmanager
    async def opened(
        self, file: File, start: int = 0, length: int | None = None
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Its bytes, for as long as the context lasts."""
        async with aclosing(self._objects.stream(key_of(file.id), start, length)) as chunks:
            yield chunks

    async def url(self, file: File, seconds: int) -> str:
        """An address from which anybody may load the file for so long."""
        return await self._objects.presigned_get(key_of(file.id), seconds, filename=file.filename)

    async def delete(self, tenant: str, id_: str) -> None:
        """Remove a file. Its object may go later, if the object store does not answer now.

        Raises:
            FileMissing: the tenant has none of this name.
        """
        if not await self._rows.delete(tenant, id_):
            raise FileMissing(id_)
        try:
            await self._objects.delete(key_of(id_))
            await self._rows.forget([id_])
        except (StoreDown, ObjectStoreError) as error:
            log.warning("object left to the sweeper", extra={"file": id_, "error": str(error)})

    async def sweep(self, abandoned: timedelta = ABANDONED, settled: timedelta = SETTLED) -> int:
        """Remove what has expired, and what uploads and deletions have left behind; gives how many files that were."""
        swept = 0
        while ids := await self._rows.leftovers(abandoned, settled, _SWEEP):
            for id_ in ids:
                await self._objects.delete(key_of(id_))
            await self._rows.forget(ids)
            swept += len(ids)
        await self._objects.abort_stale(FOLDER, abandoned)
        return swept + await self.uploads.sweep()


def key_of(id_: str) -> str:
    """The name of a file's object."""
    return FOLDER + id_
