"""The outermost middleware: an id for each request, errors in one shape, the access log, the metrics."""

import logging
import os
import re

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiapp_service.http.counting import Counting
from aiapp_service.http.errors import ApiError, from_http_exception
from aiapp_service.http.shapes import error_response
from aiapp_service.pipeline.call import REQUEST_ID, Call
from aiapp_service.telemetry.logs import FIELDS
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger("aiapp_service.access")

CLIENT_LEFT = 499
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


CALL: web.RequestKey[Call] = web.RequestKey("call", Call)


def observing(metrics: Metrics) -> Middleware:
    """The outermost middleware: an id for each request, errors in one shape, one log line, the metrics."""

    counting = Counting(metrics)

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(REQUEST_ID, "")
        call = Call(
            given if given and _SANE_ID.fullmatch(given) else os.urandom(16).hex(),
            request.headers.get("traceparent", ""),
        )
        request[CALL] = call
        status = CLIENT_LEFT
        try:
            response = await _answered(request, handler)
            status = response.status
            if not response.prepared:
                response.headers.update(call.response_headers())
            return response
        finally:
            counting.count(call, status)
            if request.path.startswith("/v1/"):
                _write(request, call, status)

    return observe


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_id = request[CALL].request_id
    try:
        return await handler(request)
    except ApiError as error:
        failure = error
    except web.HTTPException as error:
        failure = from_http_exception(error)
    except ConnectionError:
        # Writing to a client that has left; there is nobody to tell.
        return web.Response(status=CLIENT_LEFT)
    except Exception:  # a mistake of ours: the client gets an answer in our form, and the log the cause
        log.exception("request failed", extra={"request_id": request_id})
        failure = ApiError(500, "the service failed; its log says why", type_="server_error")
    return error_response(failure, request.path, request_id)


def _write(request: web.Request, call: Call, status: int) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    usage = call.usage
    fields = {
        "request_id": call.request_id,
        "method": request.method,
        "path": request.path,
        "status": status,
        "client": call.principal.key or None,
        "tenant": call.principal.tenant or None,
        "model": call.model,
        "backend": call.backend.name if call.backend else None,
        "cache": call.cache or None,
        "streamed": call.streamed,
        "truncated": call.truncated or None,
        "estimated": call.estimated or None,
        "input_tokens": usage.input if usage else None,
        "output_tokens": usage.output if usage else None,
        "cost_usd": str(call.cost) if call.cost is not None else None,
        "milliseconds": round(1000 * call.seconds, 1),
    }
    # As `log.info` does it, without looking for the line of code that this is.
    record = log.makeRecord(log.name, logging.INFO, __file__, 0, "request", (), None)
    record.__dict__ |= {**fields, FIELDS: fields}
    log.handle(record)
