"""s3://: an object, or all objects of a folder, out of a store with the S3 API."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aiapp_service.config import ObjectStoreConfig
from aiapp_service.storage.client import LazyClient
from aiapp_service.storage.failures import ObjectMissing, ObjectStoreDown, ObjectStoreRefused, code_of, translated
from aiapp_service.weights.errors import FetchFailed, Interrupted
from aiapp_service.weights.source import needed, parts_of, safe
from aiapp_service.weights.wanted import Check, File, Listing, md5, md5_of_parts, sha256

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# As `sha256sum` writes it; a folder that has it is checked against it.
SUMS = "SHA256SUMS"
_CHUNK = 1024 * 1024
_MOST_SUMS = 4 * 1024 * 1024
_SUM = re.compile(r"^([0-9a-fA-F]{64}) [ *](?:\./)?(.+)$")
_MD5 = re.compile(r"[0-9a-f]{32}")
_PARTS_MD5 = re.compile(r"[0-9a-f]{32}-\d+")


class Bucket:
    """The object `KEY` with all its parts, where it is split, or what is below the folder `KEY/`."""

    def __init__(self, config: ObjectStoreConfig, source: str) -> None:
        self._bucket, _, self._key = source.removeprefix("s3://").partition("/")
        folder, slash, _ = self._key.rpartition("/")
        self._prefix = folder + slash
        self._client = LazyClient(config)

    async def list(self) -> Listing:
        """See Source."""
        with self._explained():
            client = await self._client.get()
            sizes: dict[str, Any] = {}
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            async for page in pages:
                for entry in page.get("Contents", ()):
                    sizes[entry["Key"].removeprefix(self._prefix)] = entry["Size"]
            sums = await self._sums(client) if SUMS in sizes else {}
            whole = self._key.endswith("/")
            pattern = parts_of(self._key.removeprefix(self._prefix))
            paths = {path for path in sizes if path and not path.endswith("/")} - {SUMS}
            wanted = needed(paths) if whole else {path for path in paths if pattern.fullmatch(path)}
            if not wanted:
                what = "nothing below" if whole else "no object"
                words = f"bucket {self._bucket} has {what} {self._key}: correct model.source"
                raise FetchFailed("ModelNotFound", words)
            return Listing(tuple([await self._file(client, path, sums.get(path, "")) for path in sorted(wanted)]))

    async def read(self, file: File, start: int) -> AsyncGenerator[bytes, None]:
        """See Source."""
        if start >= file.size:
            return
        with self._explained():
            client = await self._client.get()
            same: Any = {"IfMatch": file.tag} if file.tag else {}
            try:
                answer = await client.get_object(
                    Bucket=self._bucket, Key=self._prefix + file.path, Range=f"bytes={start}-", **same
                )
            except ClientError as error:
                if code_of(error) in {"PreconditionFailed", "412"}:
                    raise Interrupted(f"{file.path} has changed meanwhile") from None
                raise
            async with answer["Body"] as body:
                chunks = body.iter_chunks(_CHUNK)
                while chunk := await anext(chunks, b""):
                    yield chunk

    async def close(self) -> None:
        """See Source."""
        await self._client.close()

    async def _sums(self, client: "S3Client") -> dict[str, str]:
        answer = await client.get_object(Bucket=self._bucket, Key=self._prefix + SUMS)
        async with answer["Body"] as body:
            text = (await body.read(_MOST_SUMS)).decode("utf-8", "replace")
        found = (_SUM.match(line) for line in text.splitlines())
        return {match.group(2).strip(): match.group(1) for match in found if match is not None}

    async def _file(self, client: "S3Client", path: str, sum_: str) -> File:
        key = self._prefix + path
        head = await client.head_object(Bucket=self._bucket, Key=key)
        check = sha256(sum_) if sum_ else await self._check(client, key, head)
        return File(safe(path), head["ContentLength"], check, head.get("ETag", ""))

    async def _check(self, client: "S3Client", key: str, head: Any) -> Check | None:
        """By the tag, where it is made of the content: with keys of a key service it is not."""
        tag = str(head.get("ETag", "")).strip('"')
        if str(head.get("ServerSideEncryption", "")).startswith("aws:kms") or head.get("SSECustomerAlgorithm"):
            return None
        if _MD5.fullmatch(tag):
            return md5(tag)
        if _PARTS_MD5.fullmatch(tag):
            first = await client.head_object(Bucket=self._bucket, Key=key, PartNumber=1)
            size = first["ContentLength"]
            # A store that does not know of parts gives the whole.
            return md5_of_parts(tag, size) if size < head["ContentLength"] or tag.endswith("-1") else None
        return None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raises what went wrong in words of a download."""
        try:
            with translated():
                yield
        except ObjectMissing:
            raise FetchFailed("ModelNotFound", f"bucket {self._bucket} or {self._key} is not there") from None
        except ObjectStoreDown as error:
            raise Interrupted(str(error)) from None
        except ObjectStoreRefused as error:
            if "no such bucket" in str(error):
                words = f"there is no bucket {self._bucket}: create it, or correct model.source"
                raise FetchFailed("ModelNotFound", words) from None
            words = str(error).replace("spec.objectStore.s3", "model.s3 or spec.objectStore.s3")
            raise FetchFailed("ModelRefused", words) from None
