"""Vectors in Qdrant, by its own client. There is a collection for each number of dimensions.

Collections are made for many tenants: https://qdrant.tech/documentation/guides/multitenancy/
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from grpc import RpcError
from httpx import HTTPError
from qdrant_client import AsyncQdrantClient
from qdrant_client import models as q
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from aiapp_service.config import QdrantConfig
from aiapp_service.credentials import SecretFile
from aiapp_service.retrieval.filters import Comparison, Compound, Filter, Operator
from aiapp_service.retrieval.index import Place, Query
from aiapp_service.retrieval.payload import FILE, STORE, TENANT, attribute, payload
from aiapp_service.stores.breaker import StoreDown, StoreRefused

log = logging.getLogger(__name__)

T = TypeVar("T")

SECONDS = 5
_CONFLICT = 409
_FIELD = "spec.vectorStore.qdrant"
# Between searching anything and searching well: links of each vector within its tenant, none over all.
_LINKS = 16


class QdrantVectors:
    """One Qdrant. `client` gives one with the key as it now is."""

    def __init__(self, client: Callable[[], AsyncQdrantClient], app: str) -> None:
        self._made = client
        self._prefix = f"aiapp-{app}-"
        self._client: AsyncQdrantClient | None = None
        self._known: set[str] = set()
        self._making = asyncio.Lock()

    async def put(self, place: Place, vectors: Sequence[tuple[UUID, Sequence[float]]]) -> None:
        """Add vectors."""
        collection = await self._collection(len(vectors[0][1]))
        beside = payload(place)
        points = [q.PointStruct(id=str(id_), vector=list(vector), payload=beside) for id_, vector in vectors]
        await self._ask(lambda c: c.upsert(collection, points, wait=True))

    async def remove(self, ids: Sequence[UUID], tenant: str) -> None:
        """Remove vectors."""
        selector = q.Filter(must=[q.HasIdCondition(has_id=[str(id_) for id_ in ids]), _is(TENANT, tenant)])
        await self._everywhere(lambda c, name: c.delete(name, q.FilterSelector(filter=selector), wait=True))

    async def remove_store(self, tenant: str, store: str) -> None:
        """Remove all vectors of a store."""
        selector = q.FilterSelector(filter=q.Filter(must=[_is(TENANT, tenant), _is(STORE, store)]))
        await self._everywhere(lambda c, name: c.delete(name, selector, wait=True))

    async def describe(self, place: Place, _ids: Sequence[UUID]) -> None:
        """Let filters see the attributes of a file."""
        selector = q.Filter(must=[_is(TENANT, place.tenant), _is(STORE, place.store), _is(FILE, place.file)])
        whole = payload(place)
        await self._everywhere(lambda c, name: c.overwrite_payload(name, whole, selector, wait=True))

    async def nearest(self, query: Query, limit: int) -> list[tuple[UUID, float]]:
        """Ids and cosines of the vectors that are nearest."""
        vector = list(query.vector or ())
        collection = self._name(len(vector))
        if collection not in await self._collections():
            return []
        must: list[q.Condition] = [_is(TENANT, query.tenant), _is(STORE, query.store)]
        if query.filter is not None:
            must.append(_condition(query.filter))
        found = await self._ask(
            lambda c: c.query_points(
                collection, query=vector, query_filter=q.Filter(must=must), limit=limit, with_payload=False
            )
        )
        return [(UUID(str(point.id)), point.score) for point in found.points]

    async def check(self) -> None:
        """Ask it something."""
        await self._ask(lambda c: c.get_collections())

    async def close(self) -> None:
        """Give up the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _name(self, dimensions: int) -> str:
        return f"{self._prefix}{dimensions}"

    async def _collections(self) -> set[str]:
        if not self._known:
            listed = await self._ask(lambda c: c.get_collections())
            self._known |= {entry.name for entry in listed.collections if entry.name.startswith(self._prefix)}
        return self._known

    async def _collection(self, dimensions: int) -> str:
        name = self._name(dimensions)
        if name not in await self._collections():
            async with self._making:
                if name not in self._known:
                    await self._make(name, dimensions)
                    self._known.add(name)
        return name

    async def _make(self, name: str, dimensions: int) -> None:
        vectors = q.VectorParams(size=dimensions, distance=q.Distance.COSINE)
        links = q.HnswConfigDiff(payload_m=_LINKS, m=0)
        try:
            await self._ask(lambda c: c.create_collection(name, vectors_config=vectors, hnsw_config=links))
        except _AlreadyThere:
            return
        keyword = q.KeywordIndexParams(type=q.KeywordIndexType.KEYWORD, is_tenant=True)
        await self._ask(lambda c: c.create_payload_index(name, STORE, keyword))
        for field in (TENANT, FILE):
            await self._ask(partial(_index, name, field))

    async def _everywhere(self, call: Callable[[AsyncQdrantClient, str], Awaitable[object]]) -> None:
        for name in sorted(await self._collections()):
            await self._ask(partial(_on, name, call))

    async def _ask(self, call: Callable[[AsyncQdrantClient], Awaitable[T]]) -> T:
        if self._client is None:
            self._client = self._made()
        try:
            return await call(self._client)
        except UnexpectedResponse as error:
            raise _refusal(error) from error
        except (ApiException, HTTPError, RpcError, OSError) as error:
            raise StoreDown(f"Qdrant does not answer: {type(error).__name__}") from error


async def _index(name: str, field: str, client: AsyncQdrantClient) -> None:
    await client.create_payload_index(name, field, q.PayloadSchemaType.KEYWORD)


async def _on(
    name: str, call: Callable[[AsyncQdrantClient, str], Awaitable[object]], client: AsyncQdrantClient
) -> None:
    await call(client, name)


class _AlreadyThere(StoreRefused):
    """Another process was quicker."""


def _refusal(error: UnexpectedResponse) -> StoreDown | StoreRefused:
    status = error.status_code or 0
    if status == _CONFLICT:
        return _AlreadyThere("there is such a collection")
    if status in (401, 403):
        return StoreRefused(f"Qdrant does not accept the key: correct the Secret of {_FIELD}.apiKeySecretRef")
    if status >= 500 or status == 429:
        return StoreDown(f"Qdrant cannot now ({status})")
    return StoreRefused(f"Qdrant refuses ({status}): see its log, and {_FIELD}")


def open_qdrant(config: QdrantConfig, app: str) -> QdrantVectors:
    """The Qdrant of a configuration; nothing is connected yet."""
    key = None if config.api_key_file is None else SecretFile(config.api_key_file)

    def client() -> AsyncQdrantClient:
        return AsyncQdrantClient(
            url=config.url, api_key=key.get() if key else None, timeout=SECONDS, check_compatibility=False
        )

    return QdrantVectors(client, app)


def _is(field: str, value: str) -> q.FieldCondition:
    return q.FieldCondition(key=field, match=q.MatchValue(value=value))


def _condition(filter_: Filter) -> q.Filter:
    if isinstance(filter_, Compound):
        parts: list[q.Condition] = [_condition(part) for part in filter_.parts]
        return q.Filter(must=parts) if filter_.all else q.Filter(should=parts)
    return _comparison(filter_)


def _comparison(filter_: Comparison) -> q.Filter:
    field, operator = attribute(filter_.key), filter_.operator
    if operator.orders:
        return q.Filter(must=[q.FieldCondition(key=field, range=q.Range(**{operator.value: filter_.values[0]}))])
    any_of: list[q.Condition] = [_equals(field, value) for value in filter_.values]
    if operator in (Operator.EQ, Operator.IN):
        return q.Filter(should=any_of)
    return q.Filter(must_not=any_of)


def _equals(field: str, value: str | float | bool) -> q.FieldCondition:
    if isinstance(value, (bool, str)):
        return q.FieldCondition(key=field, match=q.MatchValue(value=value))
    # 4 and 4.0 are the same number; a match takes whole ones only.
    return q.FieldCondition(key=field, range=q.Range(gte=value, lte=value))
