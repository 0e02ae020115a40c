"""Files that come in parts: each part is an object of its own until all of them become one.

Parts may come in any order, at once, and of any size, which a multipart upload of S3 cannot take; so each goes into the
store by itself, and they are put together by stream. Rows come before objects, as with files: what a process that was
killed leaves is found by its rows. See `aiapp_service.storage.files`.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiapp_service.storage.failures import ObjectMissing, ObjectStoreError
from aiapp_service.storage.file_rows import File
from aiapp_service.storage.objects import ObjectStore
from aiapp_service.storage.purposes import Purpose, complaint
from aiapp_service.storage.upload_rows import PENDING, FileUpload, UploadRows
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

if TYPE_CHECKING:
    from aiapp_service.storage.files import Files

__all__ = ["FileUpload", "Part", "UploadMissing", "UploadRefused", "Uploads"]

log = logging.getLogger(__name__)

FOLDER = "uploads/"
LASTS = timedelta(hours=1)
MOST_PART_BYTES = 64 * 1024 * 1024
MOST_PARTS = 10_000
MOST_OPEN = 100
# A client that did not hear of its file may ask for so long.
REMEMBERED = timedelta(days=1)
# Whoever ends an upload removes its parts itself, if it can.
SETTLED = timedelta(minutes=15)
_SWEEP = 100


class UploadMissing(Exception):
    """The tenant has no such upload."""


class UploadRefused(Exception):
    """It cannot be done with this upload. `code` is for programs, `param` the field that is wrong."""

    def __init__(self, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


@dataclass(frozen=True)
class Part:
    """A part that is there."""

    id: str
    created_at: datetime


class Uploads:
    """Methods raise StoreDown where a store does not answer, and ObjectStoreRefused where one does not let us."""

    def __init__(self, database: Database, objects: ObjectStore, files: "Files") -> None:
        self._rows = UploadRows(database)
        self._objects = objects
        self._files = files

    async def create(self, tenant: str, new: dict[str, Any]) -> FileUpload:
        """An upload that waits for parts; `new` has filename, purpose, content_type, bytes and keep_seconds.

        Raises:
            UploadRefused: the tenant has too many of them.
        """
        made = await self._rows.create(f"upload_{secrets.token_hex(16)}", tenant, new, LASTS, MOST_OPEN)
        if made is None:
            message = f"{MOST_OPEN} uploads wait for their parts: complete or cancel some of them"
            raise UploadRefused(message, "too_many_uploads")
        return made

    async def get(self, tenant: str, id_: str) -> FileUpload:
        """One of the tenant's.

        Raises:
            UploadMissing: it has none of this name.
        """
        found = await self._rows.get(tenant, id_)
        if found is None:
            raise UploadMissing(id_)
        return found

    async def add(self, upload: FileUpload, chunks: AsyncIterator[bytes]) -> Part:
        """Take a part in.

        Raises:
            UploadRefused: the upload is over, or has too many parts.
            TooLarge: the part has more than MOST_PART_BYTES.
        """
        _require_pending(upload)
        id_ = f"part_{secrets.token_hex(16)}"
        if not await self._rows.begin_part(id_, upload.id, MOST_PARTS):
            raise UploadRefused(f"the upload has {MOST_PARTS} parts, or is over: make a new one", "upload_over")
        try:
            stored = await self._objects.put(FOLDER + id_, chunks, most_bytes=min(MOST_PART_BYTES, upload.bytes))
            created_at = await self._rows.keep_part(id_, stored.size)
        except BaseException:  # raised again
            # Also for a client that has left, whose handler is cancelled.
            await asyncio.shield(asyncio.create_task(self._remove([id_])))
            raise
        if created_at is None:
            await self._remove([id_])
            raise UploadRefused("the upload is over: make a new one", "upload_over")
        return Part(id_, created_at)

    async def complete(self, tenant: str, upload: FileUpload, parts: Sequence[str], md5: str | None) -> File:
        """Make a file of these parts, in this order. Asked for again, it gives the same file.

        Raises:
            UploadRefused: it is over, a part is not there, or what came is not what was promised.
        """
        if upload.file_id is not None:
            return await self._files.get(tenant, upload.file_id)
        _require_pending(upload)
        sizes = await self._rows.sizes(upload.id)
        if (strange := next((part for part in parts if part not in sizes), None)) is not None:
            raise UploadRefused(f"there is no part {strange[:100]!r} in this upload", "part_not_found", "part_ids")
        if len(set(parts)) < len(parts):
            raise UploadRefused("part_ids has a part twice", "invalid_part_ids", "part_ids")
        if (size := sum(sizes[part] for part in parts)) != upload.bytes:
            message = f"the parts have {size} bytes, and the upload was made for {upload.bytes}"
            raise UploadRefused(message, "bytes_mismatch", "part_ids")
        file = await self._put_together(tenant, upload, parts, md5)
        await self._remove(await self._rows.parts_of(upload.id))
        return file

    async def cancel(self, tenant: str, upload: FileUpload) -> FileUpload:
        """No file comes of it; its parts are removed.

        Raises:
            UploadRefused: it is over.
        """
        _require_pending(upload)
        if not await self._rows.cancel(tenant, upload.id):
            _require_pending(await self.get(tenant, upload.id))
        await self._remove(await self._rows.parts_of(upload.id))
        return await self.get(tenant, upload.id)

    async def sweep(self, settled: timedelta = SETTLED) -> int:
        """Remove what uploads that are over have left behind; gives how many parts that were."""
        swept = 0
        while uploads := await self._rows.over(settled, _SWEEP):
            for upload in uploads:
                parts = await self._rows.parts_of(upload)
                await self._remove(parts, quietly=False)
                swept += len(parts)
        await self._rows.forget(REMEMBERED)
        await self._objects.abort_stale(FOLDER)
        return swept

    async def _put_together(self, tenant: str, upload: FileUpload, parts: Sequence[str], md5: str | None) -> File:
        digest = hashlib.md5(usedforsecurity=False)
        async with self._files.draft(tenant) as draft:
            try:
                async with aclosing(self._chunks(parts, digest)) as chunks:
                    await draft.receive(upload.filename, upload.content_type, chunks, upload.bytes)
            except ObjectMissing as error:
                raise UploadRefused("a part is gone: make a new upload", "part_not_found", "part_ids") from error
            if md5 is not None and digest.hexdigest() != md5.lower():
                raise UploadRefused("the parts do not have this MD5 checksum", "md5_mismatch", "md5")
            if wrong := complaint(Purpose(upload.purpose), draft.head):
                raise UploadRefused(wrong, "invalid_file_format", "part_ids")
            file = await draft.keep_with(
                lambda size, sha256: self._rows.complete(tenant, upload.id, draft.id, size, sha256)
            )
        if file is not None:
            return file
        # Somebody else was quicker.
        now = await self.get(tenant, upload.id)
        if now.file_id is None:
            _require_pending(now)
            raise StoreDown("the upload could not be completed")
        return await self._files.get(tenant, now.file_id)

    async def _chunks(self, parts: Sequence[str], digest: Any) -> AsyncGenerator[bytes, None]:
        for part in parts:
            async with aclosing(self._objects.stream(FOLDER + part)) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    yield chunk

    async def _remove(self, parts: Sequence[str], *, quietly: bool = True) -> None:
        try:
            for part in parts:
                await self._objects.delete(FOLDER + part)
            await self._rows.forget_parts(parts)
        except (StoreDown, ObjectStoreError) as error:
            if not quietly:
                raise
            log.warning("parts left to the sweeper", extra={"parts": len(parts), "error": str(error)})


def _require_pending(upload: FileUpload) -> None:
    if upload.status != PENDING:
        raise UploadRefused(f"the upload is {upload.status}: make a new one", f"upload_{upload.status}")
