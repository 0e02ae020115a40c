"""Objects in a bucket: written and read by stream, in constant memory, whatever their size.

An object is there whole or not at all. Names are the caller's; the configured prefix goes before them.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aiapp_service.config import ObjectStoreConfig
from aiapp_service.storage.client import LazyClient
from aiapp_service.storage.failures import (
    ObjectMissing,
    ObjectStoreDown,
    ObjectStoreError,
    ObjectStoreRefused,
    TooLarge,
    code_of,
    translated,
)
from aiapp_service.storage.quick import QuickReader
from aiapp_service.storage.upload import PART_BYTES, Stored, Upload

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

__all__ = [
    "PART_BYTES",
    "ObjectInfo",
    "ObjectMissing",
    "ObjectStore",
    "ObjectStoreDown",
    "ObjectStoreError",
    "ObjectStoreRefused",
    "Stored",
    "TooLarge",
]

CHUNK_BYTES = 64 * 1024
_STALE = timedelta(days=1)


@dataclass(frozen=True)
class ObjectInfo:
    """What is known of an object without reading it."""

    key: str
    size: int
    modified: datetime


class ObjectStore:
    """One bucket, for a process. Every method raises ObjectStoreDown or ObjectStoreRefused where it cannot."""

    def __init__(self, config: ObjectStoreConfig) -> None:
        self._bucket = config.bucket
        self._prefix = config.prefix
        self._client = LazyClient(config)
        self._quick = QuickReader(self.presigned_get)

    async def put(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str = "application/octet-stream",
        most_bytes: int | None = None,
        part_bytes: int = PART_BYTES,
    ) -> Stored:
        """Write an object out of what `chunks` gives; the store takes 10,000 parts of `part_bytes` at most.

        Whatever ends it early, an error of `chunks` and cancellation too, leaves nothing half. An object that was
        there before stays until then.

        Raises:
            TooLarge: more than `most_bytes` came.
        """
        with translated():
            client = await self._client.get()
        upload = Upload(client, self._bucket, self._prefix + key, content_type, part_bytes, most_bytes)
        return await upload.run(chunks)

    async def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes of an object from `start` on, as they come; from the end on there are none.

        Raises:
            ObjectMissing: there is none of this name.
        """
        if length is not None and length <= 0:
            return
        wanted: Any = {} if not start and length is None else {"Range": _range(start, length)}
        with translated():
            client = await self._client.get()
            try:
                answer = await client.get_object(Bucket=self._bucket, Key=self._prefix + key, **wanted)
            except ClientError as error:
                if code_of(error) == "InvalidRange":
                    return
                raise
            async with answer["Body"] as body:
                chunks = body.iter_chunks(CHUNK_BYTES)
                while chunk := await anext(chunks, b""):
                    yield chunk

    async def read(self, key: str, most_bytes: int) -> bytes:
        """A whole object.

        Raises:
            ObjectMissing: there is none of this name.
            TooLarge: it has more than `most_bytes`.
        """
        quickly = await self._quick.read(key, most_bytes)
        if quickly is not None:
            return quickly
        found = bytearray()
        async with aclosing(self.stream(key)) as chunks:
            async for chunk in chunks:
                found += chunk
                if len(found) > most_bytes:
                    raise TooLarge(most_bytes)
        return bytes(found)

    async def head(self, key: str) -> ObjectInfo | None:
        """What is known of an object; None where there is none of this name."""
        try:
            with translated():
                client = await self._client.get()
                answer = await client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except ObjectMissing:
            return None
        return ObjectInfo(key, answer["ContentLength"], answer["LastModified"])

    async def delete(self, key: str) -> None:
        """Remove an object; that there is none of this name is no error."""
        try:
            with translated():
                client = await self._client.get()
                await client.delete_object(Bucket=self._bucket, Key=self._prefix + key)
        except ObjectMissing:
            return

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """The objects whose names begin with `prefix`, in the order of their names."""
        wanted: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        while True:
            with translated():
                client = await self._client.get()
                page = await client.list_objects_v2(**wanted)
            for entry in page.get("Contents", ()):
                yield ObjectInfo(entry["Key"].removeprefix(self._prefix), entry["Size"], entry["LastModified"])
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    async def presigned_get(self, key: str, seconds: int, *, filename: str | None = None) -> str:
        """An address from which anybody may read the object for so long; as a download called `filename`."""
        more = {} if filename is None else {"ResponseContentDisposition": f'attachment; filename="{_plain(filename)}"'}
        return await self._presigned("get_object", key, seconds, **more)

    async def presigned_put(self, key: str, seconds: int, *, content_type: str | None = None) -> str:
        """An address to which anybody may write the object for so long."""
        more = {} if content_type is None else {"ContentType": content_type}
        return await self._presigned("put_object", key, seconds, **more)

    async def check(self) -> None:
        """Whether the bucket can be reached and read with the access key.

        Raises:
            ObjectStoreError: not; the message says whose turn it is.
        """
        with translated():
            client = await self._client.get()
            # Unlike HEAD it says what is wrong.
            await client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    async def abort_stale(self, prefix: str = "", older: timedelta = _STALE) -> int:
        """End uploads in parts that a process which is gone has begun, so that nobody pays for them; gives how many."""
        before, ended = datetime.now(UTC) - older, 0
        with translated():
            client = await self._client.get()
            for key, upload in [found async for found in self._unfinished(client, self._prefix + prefix, before)]:
                await client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
                ended += 1
        return ended

    async def close(self) -> None:
        """Give up the connections."""
        await self._quick.close()
        await self._client.close()

    async def _unfinished(self, client: "S3Client", prefix: str, before: datetime) -> AsyncIterator[tuple[str, str]]:
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
        async for page in pages:
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] < before:
                    yield upload["Key"], upload["UploadId"]

    async def _presigned(self, operation: str, key: str, seconds: int, **more: str) -> str:
        with translated():
            client = await self._client.get()
            parameters = {"Bucket": self._bucket, "Key": self._prefix + key, **more}
            return await client.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds)


def _range(start: int, length: int | None) -> str:
    return f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"


def _plain(filename: str) -> str:
    """`filename` as it may stand between quotes in a header."""
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in filename)
