"""/v1/batches."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from aiapp_service.batches.record import JOB, QUEUE, Batch, Status
from aiapp_service.batches.request import Asked, asked_for, listed, not_now, page_of, without
from aiapp_service.http import bodies
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.stores.breaker import StoreDown, StoreRefused

if TYPE_CHECKING:
    from aiapp_service.batches.store import BatchStore
    from aiapp_service.jobs.queues import Queues
    from aiapp_service.storage.files import Files
    from aiapp_service.stores.postgres import Database

log = logging.getLogger(__name__)

PATH = "/v1/batches"
MOST_FILE_BYTES = 200 * 1024 * 1024
_ONE = f"{PATH}/{{name}}"
_PURPOSE = "batch"
_WHAT = "batches"


class BatchesApi:
    """The handlers; where something is missing that batches need they say what."""

    def __init__(self, database: "Database | None", files: "Files | None", queues: "Queues | None") -> None:
        self._database = database
        self._files = files
        self._queues = queues

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(PATH, self.create)
        app.router.add_get(PATH, self.list)
        app.router.add_get(_ONE, self.retrieve)
        app.router.add_post(f"{_ONE}/cancel", self.cancel)

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/batches."""
        store, files, queues = self._needed()
        principal = request[CALL].principal
        asked = asked_for(await bodies.read_object(request))
        with _answering():
            await _check_file(files, principal.tenant, asked)
            batch = await store.create(principal, f"batch_{uuid.uuid4().hex}", asked)
        await _work_on(queues, batch.id, batch.id)
        return web.json_response(batch.document())

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/batches: the latest first."""
        store, _, _ = self._needed()
        after, limit = page_of(request.query)
        with _answering():
            batches = await store.page(request[CALL].principal.tenant, after, limit)
        return web.json_response(listed([batch.document() for batch in batches], limit))

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET /v1/batches/NAME."""
        return web.json_response((await self._get(request)).document())

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/batches/NAME/cancel: what has a result by then is delivered."""
        store, _, queues = self._needed()
        with _answering():
            batch = await store.cancel(request[CALL].principal.tenant, request.match_info["name"])
        if batch is not None:
            # One that waits is ended by this; whoever works on one sees it by itself.
            await _work_on(queues, batch.id, f"{batch.id}-cancel")
            return web.json_response(batch.document())
        batch = await self._get(request)
        if batch.status in (Status.CANCELLING, Status.CANCELLED):
            return web.json_response(batch.document())
        message = f"the batch is {batch.status} already, and cannot be cancelled any more"
        raise ApiError(409, message, code="batch_not_cancellable")

    async def _get(self, request: web.Request) -> Batch:
        store, _, _ = self._needed()
        name = request.match_info["name"]
        with _answering():
            batch = await store.get(request[CALL].principal.tenant, name)
        if batch is None:
            raise ApiError(404, f"there is no batch {name[:100]!r}", code="batch_not_found", param="batch_id")
        return batch

    def _needed(self) -> "tuple[BatchStore, Files, Queues]":
        if self._database is None:
            raise without("PostgreSQL", "spec.postgres", _WHAT)
        if self._files is None:
            raise without("an object store", "spec.objectStore", _WHAT)
        if self._queues is None:
            raise without("Redis", "spec.redis", _WHAT)
        # Only here, where the driver has been loaded already.
        from aiapp_service.batches.store import BatchStore  # noqa: PLC0415

        return BatchStore(self._database), self._files, self._queues


async def _check_file(files: "Files", tenant: str, asked: Asked) -> None:
    from aiapp_service.storage.files import FileMissing  # noqa: PLC0415  # loaded already

    try:
        file = await files.get(tenant, asked.input_file_id)
    except FileMissing as error:
        message = f"there is no file {asked.input_file_id[:100]!r}"
        raise ApiError(404, message, code="file_not_found", param="input_file_id") from error
    if file.purpose != _PURPOSE:
        message = f"file {file.id} is for {file.purpose}: upload it with purpose {_PURPOSE}"
        raise bad_request(message, "input_file_id", "wrong_purpose")
    if file.bytes > MOST_FILE_BYTES:
        message = f"file {file.id} has {file.bytes} bytes, {MOST_FILE_BYTES} are the most: make several batches"
        raise bad_request(message, "input_file_id", "file_too_large")


async def _work_on(queues: "Queues", batch: str, job_id: str) -> None:
    """A worker's turn. Where Redis is down the batch waits until a worker looks for what was lost."""
    try:
        await queues[QUEUE].enqueue(JOB, {"batch": batch}, job_id=job_id, keep_result_seconds=0)
    except (StoreDown, OSError) as error:
        log.warning("batch waits", extra={"batch": batch, "error": str(error)})


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (StoreDown, StoreRefused) as error:
        raise not_now(_WHAT, error) from error
