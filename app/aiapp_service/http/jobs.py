"""/v1/jobs: background jobs of all tenants, for keys with `admin: true`.

GET  /v1/jobs                                     the queues, and how many jobs are in which state
GET  /v1/jobs?queue=embeddings&state=failed       jobs of a queue; state: waiting, delayed, active, completed, failed
     &start=0&limit=20                            which of them
GET  /v1/jobs/{queue}/{id}                        one job: name, state, attempts, times, error, progress; never its data
POST /v1/jobs/{queue}/{id}/cancel                 {"object": "job.cancelled", "id": "...", "result": "removed|asked"}
POST /v1/jobs/{queue}/{id}/redrive                run a failed job again, with all its attempts
POST /v1/jobs/{queue}/redrive                     the same for all that have failed: {"redriven": 12}
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from aiapp_service.gateway import Gateway
from aiapp_service.http import pages
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError, bad_request, lacking, not_now
from aiapp_service.stores.breaker import StoreDown

if TYPE_CHECKING:
    from aiapp_service.jobs.queue import JobQueue
    from aiapp_service.jobs.queues import Queues

PATH = "/v1/jobs"
MOST_LISTED = 100
_LISTED = 20
_MOST_START = 1_000_000
_PARAMETERS = ("queue", "state", "start", "limit")


class JobsApi:
    """The handlers; without Redis they say that there are no jobs."""

    def __init__(self, queues: "Queues | None", gateway: Gateway) -> None:
        self._queues = queues
        self._gateway = gateway

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_get(PATH, self.list)
        app.router.add_get(PATH + "/{queue}/{id}", self.show)
        app.router.add_post(PATH + "/{queue}/{id}/cancel", self.cancel)
        app.router.add_post(PATH + "/{queue}/{id}/redrive", self.redrive)
        app.router.add_post(PATH + "/{queue}/redrive", self.redrive_all)

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/jobs."""
        queues = self._allowed(request)
        from aiapp_service.jobs import administration  # noqa: PLC0415  # for a light start
        from aiapp_service.jobs.queues import KNOWN  # noqa: PLC0415  # for a light start

        given = request.query
        unknown = next((name for name in given if name not in _PARAMETERS), None)
        if unknown is not None:
            raise bad_request(f"{unknown[:50]!r} is no parameter; there are {', '.join(_PARAMETERS)}", unknown[:50])
        async with _answering():
            if "queue" not in given:
                found = [
                    {"object": "queue", "id": name, "jobs": await administration.counts(queues[name])} for name in KNOWN
                ]
                return web.json_response({"object": "list", "data": found})
            queue = _queue(queues, given["queue"])
            known = ", ".join(administration.JobState)
            state = given.get("state", "failed")
            if state not in set(administration.JobState):
                raise bad_request(f"state has to be one of {known}", "state")
            start = pages.number(given.get("start", "0"), "start", (0, _MOST_START))
            limit = pages.limit_of(given)
            records = await administration.listed(queue, administration.JobState(state), start, limit)
        return web.json_response({"object": "list", "data": [record.document() for record in records]})

    async def show(self, request: web.Request) -> web.Response:
        """GET /v1/jobs/{queue}/{id}."""
        queues = self._allowed(request)
        from aiapp_service.jobs import administration  # noqa: PLC0415  # for a light start

        async with _answering():
            record = await administration.find(_queue(queues, request.match_info["queue"]), request.match_info["id"])
        if record is None:
            raise _not_found("there is no such job, or no longer")
        return web.json_response(record.document())

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/jobs/{queue}/{id}/cancel."""
        queues, job_id = self._allowed(request), request.match_info["id"]
        from aiapp_service.jobs import cancelling  # noqa: PLC0415  # for a light start

        async with _answering():
            result = await cancelling.cancel(_queue(queues, request.match_info["queue"]), job_id)
        if result is cancelling.Cancelled.TOO_LATE:
            raise _conflict("the job has ended already, or there is none of this id")
        return web.json_response({"object": "job.cancelled", "id": job_id, "result": result})

    async def redrive(self, request: web.Request) -> web.Response:
        """POST /v1/jobs/{queue}/{id}/redrive."""
        queues, job_id = self._allowed(request), request.match_info["id"]
        from aiapp_service.jobs import administration  # noqa: PLC0415  # for a light start

        async with _answering():
            redriven = await administration.redrive(_queue(queues, request.match_info["queue"]), job_id)
        if not redriven:
            raise _conflict("only a job that has failed can run again, and this is none")
        return web.json_response({"object": "job.redriven", "id": job_id})

    async def redrive_all(self, request: web.Request) -> web.Response:
        """POST /v1/jobs/{queue}/redrive."""
        queues = self._allowed(request)
        from aiapp_service.jobs import administration  # noqa: PLC0415  # for a light start

        async with _answering():
            redriven = await administration.redrive_all(_queue(queues, request.match_info["queue"]))
        return web.json_response({"object": "job.redriven", "redriven": redriven})

    def _allowed(self, request: web.Request) -> "Queues":
        """The queues, for whoever may see the jobs of all tenants.

        Raises:
            ApiError: the caller may not, or there is no Redis.
        """
        auth = self._gateway.current.config.auth
        # Where nobody has a name there is nobody to keep it from.
        nobody_is_known = auth.anonymous and auth.jwt is None and auth.api_keys_dir is None
        if not nobody_is_known and not request[CALL].principal.admin:
            message = "jobs of all tenants are only for admins: give the API key `admin: true` in its file"
            raise ApiError(403, message, type_="permission_error", code="admin_only")
        if self._queues is None:
            raise lacking("there are no jobs: this app has no Redis; give it one with spec.redis", "no_queues")
        return self._queues


def _queue(queues: "Queues", name: str) -> "JobQueue":
    from aiapp_service.jobs.queues import KNOWN  # noqa: PLC0415  # for a light start

    if name not in KNOWN:
        raise _not_found(f"there is no queue {name[:50]!r}; there are {', '.join(KNOWN)}")
    return queues[name]


def _number(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise bad_request(f"{name} has to be a number from {least} to {most}", name)
    return int(text)


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except (StoreDown, OSError) as error:
        raise not_now("jobs cannot be asked for now: Redis does not answer", "queues_unavailable") from error


def _not_found(message: str) -> ApiError:
    return ApiError(404, message, code="not_found")


def _conflict(message: str) -> ApiError:
    return ApiError(409, message, code="wrong_state")
