"""Files in vector stores, and batches of them: the OpenAI API."""

from typing import TYPE_CHECKING, Any

from aiohttp import web

from aiapp_service.gateway import Gateway
from aiapp_service.http import bodies
from aiapp_service.http.attributes import attributes
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.http.store_documents import batch_document, file_document
from aiapp_service.http.store_requests import answered, listed, page_of, present, the_store
from aiapp_service.http.vector_stores import ONE

if TYPE_CHECKING:
    from datetime import datetime

    from aiapp_service.retrieval.rows import Counts, Store, StoreFile
    from aiapp_service.retrieval.service import VectorStores

_FILES = f"{ONE}/files"
_FILE = f"{_FILES}/{{file}}"
_BATCHES = f"{ONE}/file_batches"
_BATCH = f"{_BATCHES}/{{batch}}"
_STATUS = ("in_progress", "completed", "failed", "cancelled")


class VectorStoreFilesApi:
    """Handlers below /v1/vector_stores/STORE/files and .../file_batches."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @property
    def _stores(self) -> "VectorStores":
        return present(self._gateway.current.vector_stores)

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(_FILES, self.create)
        app.router.add_get(_FILES, self.list)
        app.router.add_get(_FILE, self.retrieve)
        app.router.add_post(_FILE, self.update)
        app.router.add_delete(_FILE, self.delete)
        app.router.add_get(f"{_FILE}/content", self.content)
        app.router.add_post(_BATCHES, self.create_batch)
        app.router.add_get(_BATCH, self.retrieve_batch)
        app.router.add_post(f"{_BATCH}/cancel", self.cancel_batch)
        app.router.add_get(f"{_BATCH}/files", self.list_batch)

    async def create(self, request: web.Request) -> web.Response:
        """POST .../files: file_id, attributes, chunking_strategy. A file that is there already is given as it is."""
        from aiapp_service.http.store_attaching import attach, new_file  # noqa: PLC0415  # loads the driver

        principal, store = request[CALL].principal, await self._store(request)
        file = await new_file(self._stores, principal, await bodies.read_object(request))
        added = await attach(self._stores, principal, store.id, [file])
        return web.json_response(file_document(added[0] if added else await self._file(request, file.file)))

    async def list(self, request: web.Request) -> web.Response:
        """GET .../files?filter=&limit=&order=&after=&before="""
        return await self._listed(request, None)

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET .../files/FILE."""
        return web.json_response(file_document(await self._file(request)))

    async def update(self, request: web.Request) -> web.Response:
        """POST .../files/FILE: attributes, in place of all that it has."""

        file = await self._file(request)
        body = await bodies.read_object(request)
        if "attributes" not in body:
            raise bad_request("attributes is required; null removes them", "attributes")
        found, tenant = attributes(body["attributes"]), request[CALL].principal.tenant
        with answered():
            await self._stores.index.describe(tenant, file.store, file.file, found)
        return web.json_response(file_document(await self._file(request)))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE .../files/FILE: it is no longer found; the uploaded file stays."""
        file = await self._file(request)
        with answered():
            await self._stores.index.delete(request[CALL].principal.tenant, file.store, file.file)
        return web.json_response({"id": file.file, "object": "vector_store.file.deleted", "deleted": True})

    async def content(self, request: web.Request) -> web.Response:
        """GET .../files/FILE/content: the text that was read, a part for each chunk, without what chunks repeat."""
        file = await self._file(request)
        with answered():
            chunks = await self._stores.files.texts(request[CALL].principal.tenant, file.store, file.file)
        data, reached = list[dict[str, str]](), 0
        for text, start, end in chunks:
            if new := text[max(0, reached - start) :]:
                data.append({"type": "text", "text": new})
            reached = max(reached, end)
        page = {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}
        about = {"file_id": file.file, "filename": file.filename, "attributes": file.attributes}
        return web.json_response({**page, **about})

    async def create_batch(self, request: web.Request) -> web.Response:
        """POST .../file_batches: file_ids with attributes and chunking_strategy, or files with their own."""
        from aiapp_service.http.store_attaching import attach, new_files  # noqa: PLC0415  # for a light start

        principal, store = request[CALL].principal, await self._store(request)
        files = await new_files(self._stores, principal, await bodies.read_object(request))
        with answered():
            name, _ = await self._stores.batches.create(principal.tenant, store.id)
        await attach(self._stores, principal, store.id, files, name)
        return web.json_response(await self._batch(request, name))

    async def retrieve_batch(self, request: web.Request) -> web.Response:
        """GET .../file_batches/BATCH."""
        return web.json_response(await self._batch(request))

    async def cancel_batch(self, request: web.Request) -> web.Response:
        """POST .../file_batches/BATCH/cancel: what is not read yet stays so."""
        await self._batch(request)
        tenant, store, name = request[CALL].principal.tenant, request.match_info["store"], request.match_info["batch"]
        with answered():
            await self._stores.batches.cancel(tenant, store, name)
        return web.json_response(await self._batch(request))

    async def list_batch(self, request: web.Request) -> web.Response:
        """GET .../file_batches/BATCH/files?filter=&limit=&order=&after=&before="""
        await self._batch(request)
        return await self._listed(request, request.match_info["batch"])

    async def _listed(self, request: web.Request, batch: str | None) -> web.Response:
        store, page, status = await self._store(request), page_of(request.query), request.query.get("filter")
        if status is not None and status not in _STATUS:
            raise bad_request(f"filter has to be one of {', '.join(_STATUS)}", "filter")
        with answered():
            found = await self._stores.files.page(request[CALL].principal.tenant, store.id, page, status, batch)
        return web.json_response(listed(found, page, file_document))

    async def _store(self, request: web.Request) -> "Store":
        return await the_store(self._stores, request[CALL].principal.tenant, request.match_info["store"])

    async def _file(self, request: web.Request, name: str | None = None) -> "StoreFile":
        store, name = await self._store(request), name or request.match_info["file"]
        with answered():
            found = await self._stores.files.get(request[CALL].principal.tenant, store.id, name)
        if found is None:
            message = f"there is no file {name[:100]!r} in the vector store {store.id}"
            raise ApiError(404, message, param="file_id", code="file_not_found")
        return found

    async def _batch(self, request: web.Request, name: str | None = None) -> dict[str, Any]:
        store, name = await self._store(request), name or request.match_info["batch"]
        with answered():
            found: tuple[datetime, Counts] | None = await self._stores.batches.get(
                request[CALL].principal.tenant, store.id, name
            )
        if found is None:
            raise ApiError(404, f"there is no batch {name[:100]!r}", param="batch_id", code="batch_not_found")
        return batch_document(name, store.id, *found)
