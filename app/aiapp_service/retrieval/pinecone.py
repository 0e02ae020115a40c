"""Vectors in an index of Pinecone, by its own client. Each tenant has a namespace of the index.

The index is made by its owner, with the metric `cosine` and the embedding model's number of dimensions.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from pinecone import AsyncIndex
from pinecone.errors import ApiError, PineconeError, PineconeValueError

from aiapp_service.config import PineconeConfig
from aiapp_service.credentials import SecretFile
from aiapp_service.retrieval.filters import Compound, Filter
from aiapp_service.retrieval.index import Place, Query
from aiapp_service.retrieval.payload import STORE, attribute, payload
from aiapp_service.stores.breaker import StoreDown, StoreRefused

T = TypeVar("T")

SECONDS = 5.0
# A request holds 2 MB at most, and the address of a fetch a few kilobytes.
_AT_ONCE = 50
_FIELD = "spec.vectorStore.pinecone"


class PineconeVectors:
    """One index. `client` gives one with the key as it now is."""

    def __init__(self, client: Callable[[], AsyncIndex]) -> None:
        self._made = client
        self._client: AsyncIndex | None = None

    async def put(self, place: Place, vectors: Sequence[tuple[UUID, Sequence[float]]]) -> None:
        """Add vectors."""
        await self._upsert(place, {str(id_): list(vector) for id_, vector in vectors})

    async def remove(self, ids: Sequence[UUID], tenant: str) -> None:
        """Remove vectors."""
        for some in _parts([str(id_) for id_ in ids]):
            await self._ask(partial(AsyncIndex.delete, ids=some, namespace=_namespace(tenant)))

    async def remove_store(self, tenant: str, store: str) -> None:
        """Remove all vectors of a store."""
        await self._ask(lambda c: c.delete(filter={STORE: {"$eq": store}}, namespace=_namespace(tenant)))

    async def describe(self, place: Place, ids: Sequence[UUID]) -> None:
        """Write the vectors of a file again, with its attributes as they are: an update could remove none."""
        for some in _parts([str(id_) for id_ in ids]):
            found = await self._ask(partial(AsyncIndex.fetch, ids=some, namespace=_namespace(place.tenant)))
            if found.vectors:
                await self._upsert(place, {id_: list(entry.values) for id_, entry in found.vectors.items()})

    async def nearest(self, query: Query, limit: int) -> list[tuple[UUID, float]]:
        """Ids and cosines of the vectors that are nearest."""
        wanted: dict[str, Any] = {STORE: {"$eq": query.store}}
        if query.filter is not None:
            wanted = {"$and": [wanted, _condition(query.filter)]}
        vector = list(query.vector or ())
        found = await self._ask(
            lambda c: c.query(top_k=limit, vector=vector, filter=wanted, namespace=_namespace(query.tenant))
        )
        return [(UUID(match.id), match.score) for match in found.matches]

    async def check(self) -> None:
        """Ask it something."""
        await self._ask(lambda c: c.describe_index_stats())

    async def close(self) -> None:
        """Give up the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _upsert(self, place: Place, vectors: dict[str, list[float]]) -> None:
        beside = payload(place)
        entries = [{"id": id_, "values": values, "metadata": beside} for id_, values in vectors.items()]
        for some in _parts(entries):
            space = _namespace(place.tenant)
            await self._ask(partial(AsyncIndex.upsert, vectors=some, namespace=space, show_progress=False))

    async def _ask(self, call: Callable[[AsyncIndex], Awaitable[T]]) -> T:
        if self._client is None:
            self._client = self._made()
        try:
            return await call(self._client)
        except ApiError as error:
            raise _refusal(error) from error
        except PineconeValueError as error:
            raise StoreRefused(f"Pinecone's client refuses a value: see {_FIELD}") from error
        except (PineconeError, OSError) as error:
            raise StoreDown(f"Pinecone does not answer: {type(error).__name__}") from error


def _refusal(error: ApiError) -> StoreDown | StoreRefused:
    status = error.status_code
    if status in (401, 403):
        return StoreRefused(f"Pinecone does not accept the key: correct the Secret of {_FIELD}.apiKeySecretRef")
    if status == 404:
        return StoreRefused(f"there is no such index at Pinecone: correct {_FIELD}.indexHost")
    if status >= 500 or status == 429:
        return StoreDown(f"Pinecone cannot now ({status})")
    what = "is the index of the embedding model's number of dimensions?"
    return StoreRefused(f"Pinecone refuses ({status}): {what} See {_FIELD}")


def open_pinecone(config: PineconeConfig) -> PineconeVectors:
    """The index of a configuration; nothing is connected yet."""
    key = SecretFile(config.api_key_file)
    return PineconeVectors(lambda: AsyncIndex(host=config.index_host, api_key=key.get() or "missing", timeout=SECONDS))


def _namespace(tenant: str) -> str:
    """A name that Pinecone takes, whatever the tenant's is."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:32]


def _parts(entries: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(entries), _AT_ONCE):
        yield entries[start : start + _AT_ONCE]


def _condition(filter_: Filter) -> dict[str, Any]:
    if isinstance(filter_, Compound):
        return {"$and" if filter_.all else "$or": [_condition(part) for part in filter_.parts]}
    operator = filter_.operator
    value = list(filter_.values) if operator.listed else filter_.values[0]
    return {attribute(filter_.key): {f"${operator}": value}}
