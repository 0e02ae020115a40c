"""/v1/fine_tuning/jobs."""

import uuid
from typing import TYPE_CHECKING

from aiohttp import web

from aiapp_service.finetuning.record import JOB, QUEUE, TuningJob
from aiapp_service.finetuning.request import Asked, asked_for
from aiapp_service.gateway import Gateway
from aiapp_service.http import bodies, pages
from aiapp_service.http.background import Background
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError
from aiapp_service.surroundings import Surroundings

if TYPE_CHECKING:
    from aiapp_service.finetuning.store import TuningStore

PATH = "/v1/fine_tuning/jobs"
_ONE = f"{PATH}/{{name}}"
_PURPOSE = "fine-tune"


class FineTuningApi:
    """The handlers; where something is missing that fine-tuning needs they say what."""

    def __init__(self, gateway: Gateway, around: Surroundings) -> None:
        self._gateway = gateway
        self._background = Background(around, "fine-tuning jobs")

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(PATH, self.create)
        app.router.add_get(PATH, self.list)
        app.router.add_get(_ONE, self.retrieve)
        app.router.add_post(f"{_ONE}/{{wanted:cancel|pause|resume}}", self.want)
        app.router.add_get(f"{_ONE}/{{kind:events|checkpoints}}", self.noted)

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/fine_tuning/jobs."""
        store = self._store()
        principal = request[CALL].principal
        asked = asked_for(await bodies.read_object(request), self._gateway.current, principal)
        with self._background.answering():
            await self._check_files(principal.tenant, asked)
            job = await store.create(principal, f"ftjob-{uuid.uuid4().hex}", asked)
        await self._work_on(job.id, job.id)
        return web.json_response(job.shown())

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/fine_tuning/jobs: the latest first."""
        store = self._store()
        after, limit = request.query.get("after") or None, pages.limit_of(request.query)
        with self._background.answering():
            jobs = await store.page(request[CALL].principal.tenant, after, limit)
        return web.json_response(pages.page([job.shown() for job in jobs], limit))

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET /v1/fine_tuning/jobs/NAME."""
        return web.json_response((await self._get(request)).shown())

    async def want(self, request: web.Request) -> web.Response:
        """POST /v1/fine_tuning/jobs/NAME/cancel, pause, resume: the provider is told by the worker."""
        store = self._store()
        name, wanted = request.match_info["name"], request.match_info["wanted"]
        with self._background.answering():
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
        store = self._store()
        after, limit = request.query.get("after") or None, pages.limit_of(request.query)
        job = await self._get(request)
        with self._background.answering():
            found = await store.noted(f"fine_tuning_{request.match_info['kind']}", job.id, after, limit)
        return web.json_response(pages.page(found, limit))

    async def _get(self, request: web.Request) -> TuningJob:
        store, name = self._store(), request.match_info["name"]
        with self._background.answering():
            job = await store.get(request[CALL].principal.tenant, name)
        if job is None:
            raise ApiError(404, f"there is no fine-tuning job {name[:100]!r}", code="job_not_found")
        return job

    async def _check_files(self, tenant: str, asked: Asked) -> None:
        for field in ("training_file", "validation_file"):
            name = asked.request.get(field)
            if name is not None:
                await self._background.file(tenant, name, field, _PURPOSE)

    async def _work_on(self, job: str, job_id: str, *, once: bool = False) -> None:
        await self._background.wake(QUEUE, JOB, {"job": job, "once": once}, job_id)

    def _store(self) -> "TuningStore":
        database = self._background.database
        from aiapp_service.finetuning.store import TuningStore  # noqa: PLC0415  # there is a database: it is loaded

        return TuningStore(database)
