"""Vector stores as API, jobs and the tool `file_search` use them: rows, index, files and models together."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiapp_service.config import ServiceConfig
from aiapp_service.llm.router import Router
from aiapp_service.pipeline.principal import Principal
from aiapp_service.retrieval.embedding import Embedder, noting
from aiapp_service.retrieval.filters import Filter
from aiapp_service.retrieval.index import Hit, Index, Query
from aiapp_service.retrieval.pending import PendingRows
from aiapp_service.retrieval.rows import BatchRows, FileRows, Page, Store, StoreFile, StoreRows
from aiapp_service.surroundings import Surroundings

if TYPE_CHECKING:
    from aiapp_service.jobs.queue import NewJob
    from aiapp_service.jobs.queues import Queues
    from aiapp_service.storage.files import Files
    from aiapp_service.stores.postgres import Database

QUEUE = "embeddings"
JOB = "ingest"
# Stores in one go.
_SWEPT = 10


class NotHere(Exception):
    """This app lacks a part of what is needed. The message names the field of the AIApp that gives it one."""


@dataclass(frozen=True)
class Wanted:
    """How to search: what clients may say of it."""

    limit: int = 10
    filter: Filter | None = None
    threshold: float = 0.0
    vector_weight: float = 1.0
    text_weight: float = 1.0


class VectorStores:
    """Of one configuration; `router` knows its models."""

    def __init__(
        self, config: ServiceConfig, router: Router, around: Surroundings, database: "Database", index: Index
    ) -> None:
        self._config = config
        self._router = router
        self._around = around
        self.stores = StoreRows(database)
        self.files = FileRows(database)
        self.batches = BatchRows(database)
        self.pending = PendingRows(database)
        self.index = index
        self._note = noting(around.metrics, around.ledger)

    @property
    def contents(self) -> "Files":
        """What clients have uploaded.

        Raises:
            NotHere: there is no object store.
        """
        if self._around.files is None:
            raise NotHere("files need an object store: give the app one with spec.objectStore")
        return self._around.files

    @property
    def embedding_model(self) -> str:
        """What new stores are made with.

        Raises:
            NotHere: none is chosen.
        """
        model = self._config.vector_store.embedding_model
        if model is None:
            raise NotHere(
                "vector stores need an embedding model: name an entry of spec.models of kind Embedding"
                " in spec.vectorStore.embeddingModel"
            )
        return model

    @property
    def queues(self) -> "Queues":
        """Where jobs go.

        Raises:
            NotHere: there is no Redis, or no worker that would read files.
        """
        served = any(QUEUE in worker.queues for worker in self._config.workers)
        if self._around.queues is None or not served:
            what = f"files are read by a worker: add an entry with queues: [{QUEUE}] to spec.workers"
            raise NotHere(what if self._around.queues is not None else "files are read by jobs: they need spec.redis")
        return self._around.queues

    def embedder(self) -> Embedder:
        """Asks the models of the configuration."""
        return Embedder(self._router, self._note)

    async def read(self, tenant: str, files: Sequence[StoreFile], key: str) -> None:
        """Have files read that were put into a store.

        Raises:
            NotHere: nobody can.
            StoreDown: the queue does not answer; the files have failed.
        """
        await self.queues[QUEUE].enqueue_many([reading(tenant, file, key) for file in files])

    async def search(
        self, principal: Principal, store: Store, queries: Sequence[str], wanted: Wanted, request: str
    ) -> list[Hit]:
        """The best chunks for any of the queries, best first; `request` names the call in the ledger.

        Raises:
            StoreDown, StoreRefused: the index or the embedding model does not answer, or refuses.
        """
        vectors: Sequence[Sequence[float] | None] = [None] * len(queries)
        if wanted.vector_weight > 0:
            vectors = await self.embedder().embed(store.embedding_model, queries, principal, request)
        words: Sequence[str | None] = queries if wanted.text_weight > 0 else [None] * len(queries)
        found = await asyncio.gather(
            *(
                self.index.search(
                    Query(
                        principal.tenant,
                        store.id,
                        wanted.limit,
                        vector,
                        text,
                        wanted.filter,
                        wanted.vector_weight,
                        wanted.text_weight,
                    )
                )
                for vector, text in zip(vectors, words, strict=True)
            ),
            self.stores.touch(principal.tenant, store.id),
        )
        return best([hits for hits in found if hits is not None], wanted)

    async def sweep(self) -> int:
        """Empty stores that have run out; gives how many files were in them."""
        swept = 0
        for tenant, store in await self.stores.expired(_SWEPT):
            page = await self.files.page(tenant, store, Page(limit=100))
            for file in page:
                await self.index.delete(tenant, store, file.file)
                swept += 1
        return swept


def reading(tenant: str, file: StoreFile, key: str) -> "NewJob":
    """The job that reads a file."""
    from aiapp_service.jobs.queue import NewJob  # noqa: PLC0415  # for a light start

    data = {"tenant": tenant, "store": file.store, "file": file.file, "ingestion": file.ingestion, "key": key}
    return NewJob(JOB, data, f"ingest-{file.ingestion}")


def best(lists: Sequence[Sequence[Hit]], wanted: Wanted) -> list[Hit]:
    """The best of several lists, each chunk once."""
    found: dict[tuple[str, int], Hit] = {}
    for hit in (hit for hits in lists for hit in hits):
        key = (hit.file, hit.number)
        if hit.score >= wanted.threshold and (key not in found or found[key].score < hit.score):
            found[key] = hit
    return sorted(found.values(), key=lambda hit: -hit.score)[: wanted.limit]
