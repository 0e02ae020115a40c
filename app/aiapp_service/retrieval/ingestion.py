"""The job `ingest` of the queue `embeddings`: a file becomes chunks with vectors, which can be found.

Data:   {"tenant": "acme", "store": "vs_...", "file": "file-...", "ingestion": "...", "key": "web"}
Result: {"status": "completed", "chunks": 12} or what else became of the file

It may run twice: chunks have names that follow from what they are, those that are there are not embedded again, and
what was put into a store anew, or taken out of it, is not touched by a reading of before.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

from aiapp_service.jobs.bull import ATTEMPTS
from aiapp_service.jobs.job import Job, JobCancelled, JobRefused
from aiapp_service.pipeline.principal import Principal
from aiapp_service.retrieval import chunking, tokens
from aiapp_service.retrieval.chunking import Chunk
from aiapp_service.retrieval.embedding import MOST_TEXTS, Embedder
from aiapp_service.retrieval.index import Embedded, Gone, Place
from aiapp_service.retrieval.parsing.document import Document, Unreadable
from aiapp_service.retrieval.parsing.formats import MOST_FILE_BYTES
from aiapp_service.retrieval.parsing.reader import Reader
from aiapp_service.retrieval.rows import StoreFile
from aiapp_service.retrieval.service import VectorStores
from aiapp_service.storage.files import FileMissing
from aiapp_service.storage.objects import ObjectMissing
from aiapp_service.stores.breaker import StoreDown, StoreRefused

log = logging.getLogger(__name__)

# What is shorter is cut while nobody notices; the rest goes to a thread.
_QUICK_CHARACTERS = 20_000


class Ingestion:
    """Reads files into the vector stores of now."""

    def __init__(self, stores: Callable[[], VectorStores | None]) -> None:
        self._stores = stores
        self._reader = Reader()
        self._loading, self._loaded = asyncio.Lock(), asyncio.Event()

    async def handle(self, job: Job) -> dict[str, Any]:
        """Do the job.

        Raises:
            StoreDown: something does not answer; the job is tried again, and after its last try the file has failed.
            JobRefused: there is no PostgreSQL, or the job is none of ours.
        """
        stores = self._stores()
        if stores is None:
            raise JobRefused("vector stores need PostgreSQL: give the app one with spec.postgres")
        if not self._loaded.is_set():
            await self._load()
        return await Reading(stores, self._reader, job).run()

    async def _load(self) -> None:
        async with self._loading:
            if not self._loaded.is_set():
                await asyncio.to_thread(tokens.load)
                self._loaded.set()


class Reading:
    """One job."""

    def __init__(self, stores: VectorStores, reader: Reader, job: Job) -> None:
        self._stores = stores
        self._reader = reader
        self._job = job

    async def run(self) -> dict[str, Any]:
        """What became of the file."""
        job = self._job
        tenant, store, name, ingestion = (_text(job, key) for key in ("tenant", "store", "file", "ingestion"))
        file = await self._stores.files.get(tenant, store, name)
        if file is None or file.ingestion != ingestion or file.status != "in_progress":
            return {"status": "gone"}
        place = Place(tenant, store, name, ingestion, file.attributes)
        try:
            return {"status": "completed", "chunks": await self._ingest(file, place)}
        except Gone:
            return {"status": "gone"}
        except Unreadable as error:
            return await self._failed(file, error.code, str(error))
        except StoreRefused as error:
            return await self._failed(file, "server_error", str(error))
        except JobCancelled:
            await self._stores.files.end(file, "cancelled")
            raise
        except Exception as error:
            if job.attempt >= ATTEMPTS:
                why = str(error) if isinstance(error, StoreDown) else "the service failed; its log says why"
                await self._failed(file, "server_error", f"given up after {ATTEMPTS} tries: {why}")
            raise

    async def _ingest(self, file: StoreFile, place: Place) -> int:
        job = self._job
        store = await self._stores.stores.get(place.tenant, place.store)
        if store is None:
            raise Gone
        embedder = self._stores.embedder()
        embedder.require(store.embedding_model)
        document = await self._reader.read(file.filename, await self._body(place))
        chunks = await _cut(document, file.strategy)
        known = await self._stores.index.hashes(place, range(len(chunks)))
        missing = [chunk for chunk in chunks if known.get(chunk.number) != chunk.hash]
        principal = Principal(tenant=place.tenant, key=str(job.data.get("key") or ""))
        for start in range(0, len(missing), MOST_TEXTS):
            job.heed()
            some = missing[start : start + MOST_TEXTS]
            await self._write(place, some, embedder, store.embedding_model, principal)
            if len(missing) > MOST_TEXTS:
                await job.progress(int(100 * (start + len(some)) / len(missing)))
        await self._stores.index.finish(place)
        return len(chunks)

    async def _write(
        self, place: Place, chunks: Sequence[Chunk], embedder: Embedder, model: str, principal: Principal
    ) -> None:
        texts = [chunk.text for chunk in chunks]
        vectors = await embedder.embed(model, texts, principal, uuid.uuid4().hex)
        pairs = zip(chunks, vectors, strict=True)
        await self._stores.index.upsert(place, [Embedded(chunk, vector) for chunk, vector in pairs])

    async def _body(self, place: Place) -> bytes:
        body = bytearray()
        try:
            async with aclosing(self._stores.contents.content(place.tenant, place.file)) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MOST_FILE_BYTES:
                        raise Unreadable(f"the file has more than {MOST_FILE_BYTES // 2**20} MiB: split it")
        except (FileMissing, ObjectMissing) as error:
            raise Unreadable("the file was deleted before it was read") from error
        return bytes(body)

    async def _failed(self, file: StoreFile, code: str, message: str) -> dict[str, Any]:
        log.info("file not read", extra={"store": file.store, "file": file.file, "code": code})
        await self._stores.files.end(file, "failed", code, message)
        return {"status": "failed", "code": code}


async def _cut(document: Document, strategy: chunking.Strategy) -> list[Chunk]:
    if len(document.text) <= _QUICK_CHARACTERS:
        return chunking.chunks(document, strategy)
    return await asyncio.to_thread(chunking.chunks, document, strategy)


def _text(job: Job, key: str) -> str:
    value = job.data.get(key)
    if not isinstance(value, str):
        raise JobRefused(f"{key}: has to be a string")
    return value
