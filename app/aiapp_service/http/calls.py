"""What is noted of each request, and where it goes: the access log and the metrics."""

import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiapp_service.http.errors import ApiError, from_http_exception
from aiapp_service.llm.backend import Backend
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage, cost_of
from aiapp_service.telemetry.metrics import UNKNOWN, Metrics

log = logging.getLogger("aiapp_service.access")

CLIENT_LEFT = 499
REQUEST_ID = "x-request-id"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass
class Call:
    """One request to the API."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    endpoint: Endpoint | None = None
    model: str = UNKNOWN
    client: str | None = None
    backend: str | None = None
    streamed: bool = False
    truncated: bool = False
    first_token_seconds: float | None = None
    usage: Usage | None = None
    cost: Decimal | None = None

    def spoke(self) -> None:
        """The first token is here."""
        self.first_token_seconds = time.perf_counter() - self.started

    def settle(self, backend: Backend, usage: Usage | None) -> None:
        """Who answered, and what it took."""
        self.backend = backend.name
        if usage is not None:
            self.usage = usage
            self.cost = cost_of(usage, backend.price)


CALL: web.RequestKey[Call] = web.RequestKey("call", Call)


def observing(metrics: Metrics) -> Middleware:
    """The outermost middleware: an id for each request, errors in one shape, one log line, the metrics."""

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(REQUEST_ID, "")
        call = Call(given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex)
        request[CALL] = call
        status = CLIENT_LEFT
        try:
            response = await _answered(request, handler)
            status = response.status
            if not response.prepared:
                response.headers[REQUEST_ID] = call.request_id
            return response
        finally:
            _count(metrics, call, status)
            if request.path.startswith("/v1/"):
                _write(request, call, status)

    return observe


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPException as error:
        return from_http_exception(error).response()
    except ConnectionError:
        # Writing to a client that has left; there is nobody to tell.
        return web.Response(status=CLIENT_LEFT)
    except Exception:
        log.exception("request failed", extra={"request_id": request[CALL].request_id})
        return ApiError(500, "the service failed; its log says why", type_="server_error").response()


def _count(metrics: Metrics, call: Call, status: int) -> None:
    if call.endpoint is None:
        return
    metrics.requests.labels(call.model, call.endpoint, str(status)).inc()
    if call.backend is not None:
        metrics.latency.labels(call.model, call.endpoint).observe(time.perf_counter() - call.started)
    if call.first_token_seconds is not None:
        metrics.first_token.labels(call.model).observe(call.first_token_seconds)
    if call.truncated:
        metrics.truncated.labels(call.model).inc()
    if call.usage is not None:
        for type_, count in call.usage.by_type().items():
            metrics.tokens.labels(call.model, type_, call.endpoint).inc(count)
    if call.cost is not None:
        metrics.cost.labels(call.model).inc(float(call.cost))


def _write(request: web.Request, call: Call, status: int) -> None:
    usage = call.usage
    log.info(
        "request",
        extra={
            "request_id": call.request_id,
            "method": request.method,
            "path": request.path,
            "status": status,
            "client": call.client,
            "model": call.model,
            "backend": call.backend,
            "streamed": call.streamed,
            "truncated": call.truncated or None,
            "input_tokens": usage.input if usage else None,
            "output_tokens": usage.output if usage else None,
            "cost_usd": str(call.cost) if call.cost is not None else None,
            "milliseconds": round(1000 * (time.perf_counter() - call.started), 1),
        },
    )
