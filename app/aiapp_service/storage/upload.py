"""One object on its way into the store: in one request where it is small, else in parts.

Parts go one after the other, so that at most one of them is in memory. Only the last step makes the object visible.
"""

import asyncio
import hashlib
import io
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiapp_service.storage.failures import ObjectStoreError, TooLarge, translated

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

log = logging.getLogger(__name__)

PART_BYTES = 8 * 1024 * 1024
MOST_PARTS = 10_000
# A store that takes a part more slowly than 140 kB/s is as good as gone.
PART_SECONDS = 60.0
# Many parts take a store a while to put together.
COMPLETE_SECONDS = 60.0
ABORT_SECONDS = 10.0


@dataclass(frozen=True)
class Stored:
    """What has been written: bytes, and their SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


class Upload:
    """Used once."""

    def __init__(
        self,
        client: "S3Client",
        bucket: str,
        key: str,
        content_type: str,
        part_bytes: int = PART_BYTES,
        most_bytes: int | None = None,
    ) -> None:
        self._client = client
        self._place: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        self._part_bytes = part_bytes
        possible = part_bytes * MOST_PARTS
        self._most_bytes = possible if most_bytes is None else min(most_bytes, possible)
        self._digest = hashlib.sha256()
        self._size = 0
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []

    async def run(self, chunks: AsyncIterator[bytes]) -> Stored:
        """Write all that `chunks` gives, or nothing.

        Raises:
            TooLarge: it gives more than is allowed.
            ObjectStoreError: the store cannot.
        """
        try:
            await self._send(chunks)
        except BaseException:  # cancelled too: parts would be paid for ever
            await self._give_up()
            raise
        return Stored(self._size, self._digest.hexdigest())

    async def _send(self, chunks: AsyncIterator[bytes]) -> None:
        waiting = io.BytesIO()
        async for chunk in chunks:
            self._size += len(chunk)
            if self._size > self._most_bytes:
                raise TooLarge(self._most_bytes)
            self._digest.update(chunk)
            rest = memoryview(chunk)
            while (room := self._part_bytes - waiting.tell()) < len(rest):
                waiting.write(rest[:room])
                rest = rest[room:]
                await self._part(waiting)
                waiting = io.BytesIO()
            waiting.write(rest)
        if self._upload_id is None:
            waiting.seek(0)
            whole = self._client.put_object(**self._place, Body=waiting, ContentType=self._content_type)
            await _within(PART_SECONDS, whole)
            return
        await self._part(waiting)
        parts: Any = {"Parts": self._parts}
        completed = self._client.complete_multipart_upload(
            **self._place, UploadId=self._upload_id, MultipartUpload=parts
        )
        await _within(COMPLETE_SECONDS, completed)

    async def _part(self, body: io.BytesIO) -> None:
        body.seek(0)
        if self._upload_id is None:
            begun = self._client.create_multipart_upload(**self._place, ContentType=self._content_type)
            self._upload_id = (await _within(PART_SECONDS, begun))["UploadId"]
        number = len(self._parts) + 1
        sent = self._client.upload_part(**self._place, UploadId=self._upload_id, PartNumber=number, Body=body)
        self._parts.append({"PartNumber": number, "ETag": (await _within(PART_SECONDS, sent))["ETag"]})

    async def _give_up(self) -> None:
        """Remove the parts; that also happens while whoever waits is cancelled once more."""
        if self._upload_id is not None:
            await asyncio.shield(asyncio.create_task(self._abort(self._upload_id)))

    async def _abort(self, upload_id: str) -> None:
        try:
            await _within(ABORT_SECONDS, self._client.abort_multipart_upload(**self._place, UploadId=upload_id))
        except ObjectStoreError as error:
            # They cost room until somebody calls `abort_stale`, but are no object.
            log.warning("parts of an upload stay in the object store", extra={"error": str(error)})


async def _within(seconds: float, call: Coroutine[Any, Any, Any]) -> Any:
    with translated():
        async with asyncio.timeout(seconds):
            return await call
