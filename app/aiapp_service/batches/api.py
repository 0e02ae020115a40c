"""/v1/batches."""

import uuid
from typing import TYPE_CHECKING

from aiohttp import web

from aiapp_service.batches.record import JOB, QUEUE, Batch, Status
from aiapp_service.batches.request import asked_for
from aiapp_service.http import bodies, pages
from aiapp_service.http.background import Background
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.surroundings import Surroundings

if TYPE_CHECKING:
    from aiapp_service.batches.store import BatchStore

PATH = "/v1/batches"
MOST_FILE_BYTES = 200 * 1024 * 1024
_ONE = f"{PATH}/{{name}}"
_PURPOSE = "batch"


class BatchesApi:
    """The handlers; where something is missing that batches need they say what."""

    def __init__(self, around: Surroundings) -> None:
        self._background = Background(around, "batches")

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(PATH, self.create)
        app.router.add_get(PATH, self.list)
        app.router.add_get(_ONE, self.retrieve)
        app.router.add_post(f"{_ONE}/cancel", self.cancel)

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/batches."""
        store, principal = self._store(), request[CALL].principal
        asked = asked_for(await bodies.read_object(request))
        with self._background.answering():
            await self._check_file(principal.tenant, asked.input_file_id)
            batch = await store.create(principal, f"batch_{uuid.uuid4().hex}", asked)
        await self._work_on(batch.id, batch.id)
        return web.json_response(batch.document())

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/batches: the latest first."""
        store, limit = self._store(), pages.limit_of(request.query)
        with self._background.answering():
            batches = await store.page(request[CALL].principal.tenant, request.query.get("after") or None, limit)
        return web.json_response(pages.page([batch.document() for batch in batches], limit))

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET /v1/batches/NAME."""
        return web.json_response((await self._get(request)).document())

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/batches/NAME/cancel: what has a result by then is delivered."""
        store = self._store()
        with self._background.answering():
            batch = await store.cancel(request[CALL].principal.tenant, request.match_info["name"])
        if batch is not None:
            # One that waits is ended by this; whoever works on one sees it by itself.
            await self._work_on(batch.id, f"{batch.id}-cancel")
            return web.json_response(batch.document())
        batch = await self._get(request)
        if batch.status in (Status.CANCELLING, Status.CANCELLED):
            return web.json_response(batch.document())
        message = f"the batch is {batch.status} already, and cannot be cancelled any more"
        raise ApiError(409, message, code="batch_not_cancellable")

    async def _get(self, request: web.Request) -> Batch:
        store, name = self._store(), request.match_info["name"]
        with self._background.answering():
            batch = await store.get(request[CALL].principal.tenant, name)
        if batch is None:
            raise ApiError(404, f"there is no batch {name[:100]!r}", code="batch_not_found", param="batch_id")
        return batch

    async def _check_file(self, tenant: str, id_: str) -> None:
        file = await self._background.file(tenant, id_, "input_file_id", _PURPOSE)
        if file.bytes > MOST_FILE_BYTES:
            message = f"file {file.id} has {file.bytes} bytes, {MOST_FILE_BYTES} are the most: make several batches"
            raise bad_request(message, "input_file_id", "file_too_large")

    async def _work_on(self, batch: str, job_id: str) -> None:
        await self._background.wake(QUEUE, JOB, {"batch": batch}, job_id)

    def _store(self) -> "BatchStore":
        database = self._background.database
        from aiapp_service.batches.store import BatchStore  # noqa: PLC0415  # there is a database: its driver is loaded

        return BatchStore(database)
