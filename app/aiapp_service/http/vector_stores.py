"""The OpenAI Vector Stores API. A vector store belongs to a tenant; for everybody else it is not there."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from aiapp_service.gateway import Gateway
from aiapp_service.http import bodies
from aiapp_service.http.attributes import metadata
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import bad_request
from aiapp_service.http.store_documents import hit_document, store_document
from aiapp_service.http.store_requests import answered, listed, page_of, present, the_store

if TYPE_CHECKING:
    from aiapp_service.retrieval.rows import Store
    from aiapp_service.retrieval.service import VectorStores

PATH = "/v1/vector_stores"
ONE = f"{PATH}/{{store}}"
_MOST_NAME = 256
_MOST_DAYS = 365
_MOST_QUERIES = 10
_MOST_QUERY = 8192


class VectorStoresApi:
    """Handlers of vector stores themselves, and of searches."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @property
    def _stores(self) -> "VectorStores":
        return present(self._gateway.current.vector_stores)

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(PATH, self.create)
        app.router.add_get(PATH, self.list)
        app.router.add_get(ONE, self.retrieve)
        app.router.add_post(ONE, self.modify)
        app.router.add_delete(ONE, self.delete)
        app.router.add_post(f"{ONE}/search", self.search)

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/vector_stores: name, metadata, expires_after, file_ids with chunking_strategy."""
        from aiapp_service.http.store_attaching import attach, new_files  # noqa: PLC0415  # loads the driver

        stores, principal = self._stores, request[CALL].principal
        body = await bodies.read_object(request)
        with answered():
            model = stores.embedding_model
        name, days = _name(body), _days(body)
        files = await new_files(stores, principal, body) if body.get("file_ids") else []
        with answered():
            store = await stores.stores.create(principal.tenant, name, metadata(body.get("metadata")), model, days)
        await attach(stores, principal, store.id, files)
        return await self._one(principal.tenant, store)

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/vector_stores?limit=&order=&after=&before="""
        from aiapp_service.retrieval.rows import Counts  # noqa: PLC0415  # for a light start

        stores, tenant, page = self._stores, request[CALL].principal.tenant, page_of(request.query)
        with answered():
            found = await stores.stores.page(tenant, page)
            counts = await stores.stores.counts(tenant, [store.id for store in found])
        nothing = (Counts(), 0)
        return web.json_response(listed(found, page, lambda one: store_document(one, *counts.get(one.id, nothing))))

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET /v1/vector_stores/STORE."""
        tenant = request[CALL].principal.tenant
        return await self._one(tenant, await self._asked(request))

    async def modify(self, request: web.Request) -> web.Response:
        """POST /v1/vector_stores/STORE: name, metadata, expires_after; what is not given stays."""

        stores, store = self._stores, await self._asked(request)
        body, changes = await bodies.read_object(request), dict[str, Any]()
        if body.get("name") is not None:
            changes["name"] = _name(body)
        if body.get("metadata") is not None:
            changes["metadata"] = metadata(body["metadata"])
        if "expires_after" in body:
            changes["expires_days"] = _days(body)
        tenant = request[CALL].principal.tenant
        with answered():
            found = await stores.stores.modify(tenant, store.id, changes)
        return await self._one(tenant, found or await self._asked(request))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /v1/vector_stores/STORE: with all that is in it, but the uploaded files."""
        stores, store = self._stores, await self._asked(request)
        with answered():
            await stores.index.delete(request[CALL].principal.tenant, store.id)
        return web.json_response({"id": store.id, "object": "vector_store.deleted", "deleted": True})

    async def search(self, request: web.Request) -> web.Response:
        """POST /v1/vector_stores/STORE/search: query, filters, max_num_results, ranking_options."""
        from aiapp_service.retrieval.ranking import wanted  # noqa: PLC0415  # for a light start

        stores, store = self._stores, await self._asked(request)
        body = await bodies.read_object(request)
        queries, how = _queries(body), wanted(body)
        call = request[CALL]
        with answered():
            if store.expired:
                raise bad_request(f"the vector store {store.id} has expired: make a new one", "vector_store_id")
            hits = await stores.search(call.principal, store, queries, how, call.request_id)
        # Queries are not rewritten: what was looked for is told as it was.
        return web.json_response(
            {
                "object": "vector_store.search_results.page",
                "search_query": queries,
                "data": [hit_document(hit) for hit in hits],
                "has_more": False,
                "next_page": None,
            }
        )

    async def _asked(self, request: web.Request) -> "Store":
        return await the_store(self._stores, request[CALL].principal.tenant, request.match_info["store"])

    async def _one(self, tenant: str, store: "Store") -> web.Response:
        from aiapp_service.retrieval.rows import Counts  # noqa: PLC0415  # for a light start

        with answered():
            counts = await self._stores.stores.counts(tenant, [store.id])
        return web.json_response(store_document(store, *counts.get(store.id, (Counts(), 0))))


def _name(body: Mapping[str, Any]) -> str:
    name = body.get("name")
    if name is None:
        return ""
    if not isinstance(name, str) or len(name) > _MOST_NAME or "\x00" in name:
        raise bad_request(f"name has to be a text of at most {_MOST_NAME} characters", "name")
    return name


def _days(body: Mapping[str, Any]) -> int | None:
    given = body.get("expires_after")
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("anchor") != "last_active_at":
        raise bad_request("expires_after.anchor has to be last_active_at", "expires_after.anchor")
    days = given.get("days")
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= _MOST_DAYS:
        raise bad_request(f"expires_after.days has to be a number from 1 to {_MOST_DAYS}", "expires_after.days")
    return days


def _queries(body: Mapping[str, Any]) -> list[str]:
    given = body.get("query")
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not 1 <= len(found) <= _MOST_QUERIES:
        raise bad_request(f"query is required, and has to be a text or a list of 1 to {_MOST_QUERIES}", "query")
    for text in found:
        if not isinstance(text, str) or not text.strip() or len(text) > _MOST_QUERY or "\x00" in text:
            raise bad_request(f"query: each has to be a text of 1 to {_MOST_QUERY} characters", "query")
    return found
