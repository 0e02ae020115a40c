"""The job `ingest` of the queue `embeddings`: a file becomes chunks with vectors, which can be found.

Data:   {"tenant": "acme", "store": "vs_...", "file": "file-...", "ingestion": "...", "key": "web"}
Result: {"status": "completed", "chunks": 12} or what else became of the file

It may run twice: chunks have names that follow from what they are, those that are there are not embedded again, and
what was put into a store anew, or taken out of it, is not touched by a reading of before.
"""

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from aiapp_service.jobs.bull import ATTEMPTS
from aiapp_service.jobs.job import Job, JobCancelled, JobLost, JobPostponed, JobRefused
from aiapp_service.pipeline.principal import Principal
from aiapp_service.retrieval import chunking, tokens
from aiapp_service.retrieval.chunking import Chunk
from aiapp_service.retrieval.embedding import MOST_TEXTS, ModelBusy
from aiapp_service.retrieval.index import Embedded, Place, Written
from aiapp_service.retrieval.parsing.document import Document, Unreadable
from aiapp_service.retrieval.parsing.formats import MOST_FILE_BYTES
from aiapp_service.retrieval.parsing.reader import Reader
from aiapp_service.retrieval.pending import Asked, Pending
from aiapp_service.retrieval.rows import StoreFile
from aiapp_service.retrieval.service import VectorStores
from aiapp_service.retrieval.together import MOST_TOKENS, Texts, Together, Vectors
from aiapp_service.storage.objects import ObjectMissing, TooLarge
from aiapp_service.stores.breaker import StoreDown, StoreRefused

log = logging.getLogger(__name__)

# What is shorter is cut while nobody notices; the rest goes to a thread.
_QUICK_CHARACTERS = 20_000
# How long a job waits where it is for a model that is busy; then it makes room for others.
MOST_WAIT_SECONDS = 60.0
_SPREAD = 1.25


class Ingestion:
    """Reads files into the vector stores of now."""

    def __init__(self, stores: Callable[[], VectorStores | None]) -> None:
        self._stores = stores
        self._reader = Reader()
        self._together = Together(lambda: uuid.uuid4().hex)
        self._loading, self._loaded = asyncio.Lock(), asyncio.Event()

    async def handle(self, job: Job) -> dict[str, Any]:
        """Do the job.

        Raises:
            StoreDown: something does not answer; the job is tried again, and after its last try the file has failed.
            JobPostponed: the embedding model takes nothing for a while; that is no try.
            JobRefused: there is no PostgreSQL, or the job is none of ours.
        """
        stores = self._stores()
        if stores is None:
            raise JobRefused("vector stores need PostgreSQL: give the app one with spec.postgres")
        if not self._loaded.is_set():
            await self._load()
        return await Reading(stores, self._reader, self._together, job).run()

    async def _load(self) -> None:
        async with self._loading:
            if not self._loaded.is_set():
                await asyncio.to_thread(tokens.load)
                self._loaded.set()


class Reading:
    """One job."""

    def __init__(self, stores: VectorStores, reader: Reader, together: Together, job: Job) -> None:
        self._stores = stores
        self._reader = reader
        self._together = together
        self._job = job

    async def run(self) -> dict[str, Any]:
        """What became of the file."""
        job = self._job
        asked = Asked(*(_text(job, key) for key in ("tenant", "store", "file", "ingestion")))
        pending = await self._together.pending(self._stores.pending, asked)
        if pending is None:
            return {"status": "gone"}
        file = pending.file
        place = Place(asked.tenant, asked.store, asked.file, asked.ingestion, file.attributes)
        try:
            count = await self._ingest(pending, place)
        except Unreadable as error:
            return await self._failed(file, error.code, str(error))
        except StoreRefused as error:
            return await self._failed(file, "server_error", str(error))
        except (JobPostponed, JobLost):
            raise
        except JobCancelled:
            await self._stores.files.end(file, "cancelled")
            raise
        except Exception as error:  # raised again: the job is tried again, or the file says why not
            if job.attempt >= ATTEMPTS:
                why = str(error) if isinstance(error, StoreDown) else "the service failed; its log says why"
                await self._failed(file, "server_error", f"given up after {ATTEMPTS} tries: {why}")
            raise
        return {"status": "gone"} if count is None else {"status": "completed", "chunks": count}

    async def _ingest(self, pending: Pending, place: Place) -> int | None:
        """How many chunks there are; None: nobody waits for them any more."""
        file, job = pending.file, self._job
        self._stores.embedder().require(pending.embedding_model)
        if not pending.uploaded:
            raise Unreadable("the file was deleted before it was read")
        document = await self._reader.read(file.filename, await self._body(place))
        chunks = await _cut(document, file.strategy)
        known = await self._stores.index.hashes(place, range(len(chunks))) if pending.begun else {}
        missing = [chunk for chunk in chunks if known.get(chunk.number) != chunk.hash]
        size = sum(len(chunk.text.encode()) for chunk in chunks)
        most = max(1, min(MOST_TEXTS, MOST_TOKENS // file.strategy.size))
        for start in range(0, max(1, len(missing)), most):
            some = missing[start : start + most]
            is_last = start + most >= len(missing)
            vectors = await self._vectors(some, pending) if some else []
            embedded = [Embedded(chunk, vector) for chunk, vector in zip(some, vectors, strict=True)]
            if not await self._together.write(self._stores.index, Written(place, embedded, size if is_last else None)):
                return None
            if not is_last:
                await job.progress(int(100 * (start + len(some)) / len(missing)))
        return len(chunks)

    async def _vectors(self, chunks: Sequence[Chunk], pending: Pending) -> Vectors:
        job, waited = self._job, 0.0
        texts = Texts(
            self._stores.embedder(),
            pending.embedding_model,
            Principal(tenant=str(job.data["tenant"]), key=str(job.data.get("key") or "")),
            [chunk.text for chunk in chunks],
            len(chunks) * pending.file.strategy.size,
        )
        while True:
            job.heed()
            try:
                return await self._together.embed(texts)
            except ModelBusy as busy:
                # The slot is kept for a while: that is what slows the queue down.
                seconds = (busy.seconds or 1.0) * random.uniform(1.0, _SPREAD)  # noqa: S311  # it spreads load
                if waited + seconds > MOST_WAIT_SECONDS:
                    raise JobPostponed(seconds) from busy
                waited += seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await job.cancelled.wait()

    async def _body(self, place: Place) -> bytes:
        try:
            return await self._stores.contents.read(place.file, MOST_FILE_BYTES)
        except TooLarge as error:
            raise Unreadable(f"the file has more than {MOST_FILE_BYTES // 2**20} MiB: split it") from error
        except ObjectMissing as error:
            raise Unreadable("the file was deleted before it was read") from error

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
