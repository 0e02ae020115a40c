"""/v1/fine_tuning/jobs."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from aiapp_service.batches.request import listed, not_now, page_of, without
from aiapp_service.finetuning.record import JOB, QUEUE, TuningJob
from aiapp_service.finetuning.request import Asked, asked_for
from aiapp_service.gateway import Gateway
from aiapp_service.http import bodies
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.stores.breaker import StoreDown, StoreRefused

if TYPE_CHECKING:
    from aiapp_service.finetuning.store import TuningStore
    from aiapp_service.jobs.queues import Queues
    from aiapp_service.storage.files import Files
    from aiapp_service.stores.postgres import Database

log = logging.getLogger(__name__)

PATH = "/v1/fine_tuning/jobs"
_ONE = f"{PATH}/{{name}}"
_PURPOSE = "fine-tune"
_WHAT = "fine-tuning jobs"


class FineTuningApi:
    """The handlers; where something is missing that fine-tuning needs they say what."""

    def __init__(
        self, gateway: Gateway, database: "Database | None", files: "Files | None", queues: "Queues | None"
    ) -> None:
        self._gateway = gateway
        self._database = database
        self._files = files
        self._queues = queues

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(PATH, self.create)
        app.router.add_get(PATH, self.list)
        app.router.add_get(_ONE, self.retrieve)
        app.router.add_post(f"{_ONE}/{{wanted:cancel|pause|resume}}", self.want)
        app.router.add_get(f"{_ONE}/{{kind:events|checkpoints}}", self.noted)

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/fine_tuning/jobs."""
        store, files, _ = self._needed()
        principal = request[CALL].principal
        asked = asked_for(await bodies.read_object(request), self._gateway.current, principal)
        with _answering():
            await _check_files(files, principal.tenant, asked)
            job = await store.create(principal, f"ftjob-{uuid.uuid4().hex}", asked)
        await self._work_on(job.id, job.id)
        return web.json_response(job.shown())

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/fine_tuning/jobs: the latest first."""
        store, _, _ = self._needed()
        after, limit = page_of(request.query)
        with _answering():
            jobs = await store.page(request[CALL].principal.tenant, after, limit)
        return web.json_response(listed([job.shown() for job in jobs], limit))

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET /v1/fine_tuning/jobs/NAME."""
        return web.json_response((await self._get(request)).shown())

    async def want(self, request: web.Request) -> web.Response:
        """POST /v1/fine_tuning/jobs/NAME/cancel, pause, resume: the provider is told by the worker."""
        store, _, _ = self._needed()
        name, wanted = request.match_info["name"], request.match_info["wanted"]
        with _answering():
            job = await store.want(request[CALL].principal.tenant, name, wanted)
        if job is None:
            job = await self._get(request)
            if wanted == "cancel" and job.status == "cancelled":
                return web.json_response(job.shown())
            raise ApiError(409, f"the job has {job.status} already: it cannot {wanted}", code="job_has_ended")
        # The job itself may come only in a minute.
        await self._work_on(job.id, f"{job.id}-{wanted}", once=True)
        return web.json_response(job.shown())

    async def noted(self, request: web.Request) -> web.Response:
        """GET /v1/fine_tuning/jobs/NAME/events and checkpoints: the latest first."""
        store, _, _ = self._needed()
        after, limit = page_of(request.query)
        job = await self._get(request)
        with _answering():
            found = await store.noted(f"fine_tuning_{request.match_info['kind']}", job.id, after, limit)
        return web.json_response(listed(found, limit))

    async def _get(self, request: web.Request) -> TuningJob:
        store, _, _ = self._needed()
        name = request.match_info["name"]
        with _answering():
            job = await store.get(request[CALL].principal.tenant, name)
        if job is None:
            raise ApiError(404, f"there is no fine-tuning job {name[:100]!r}", code="job_not_found")
        return job

    async def _work_on(self, job: str, job_id: str, *, once: bool = False) -> None:
        """A worker's turn. Where Redis is down the job waits until a worker looks for what was lost."""
        _, _, queues = self._needed()
        try:
            await queues[QUEUE].enqueue(JOB, {"job": job, "once": once}, job_id=job_id, keep_result_seconds=0)
        except (StoreDown, OSError) as error:
            log.warning("fine-tuning job waits", extra={"job": job, "error": str(error)})

    def _needed(self) -> "tuple[TuningStore, Files, Queues]":
        if self._database is None:
            raise without("PostgreSQL", "spec.postgres", _WHAT)
        if self._files is None:
            raise without("an object store", "spec.objectStore", _WHAT)
        if self._queues is None:
            raise without("Redis", "spec.redis", _WHAT)
        # Only here, where the driver has been loaded already.
        from aiapp_service.finetuning.store import TuningStore  # noqa: PLC0415

        return TuningStore(self._database), self._files, self._queues


async def _check_files(files: "Files", tenant: str, asked: Asked) -> None:
    from aiapp_service.storage.files import FileMissing  # noqa: PLC0415  # loaded already

    for field in ("training_file", "validation_file"):
        name = asked.request.get(field)
        if name is None:
            continue
        try:
            file = await files.get(tenant, name)
        except FileMissing as error:
            message = f"there is no file {name[:100]!r}"
            raise ApiError(404, message, code="file_not_found", param=field) from error
        if file.purpose != _PURPOSE:
            message = f"file {file.id} is for {file.purpose}: upload it with purpose {_PURPOSE}"
            raise bad_request(message, field, "wrong_purpose")


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (StoreDown, StoreRefused) as error:
        raise not_now(_WHAT, error) from error
