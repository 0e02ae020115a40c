"""Running a request through the pipeline and writing what comes of it, whole or as a stream.

A stream never claims to be complete when it is not.
"""

import asyncio
from typing import cast

from aiohttp import web
from aiohttp.http import StreamWriter

from aiapp_service.http.caching import caching_of
from aiapp_service.http.errors import ApiError
from aiapp_service.http.faces import Face
from aiapp_service.llm.route import NoBackend
from aiapp_service.llm.upstream import BackendError, Reason
from aiapp_service.pipeline.exchange import Exchange, Next, Streaming

_STATUS = {Reason.RATE_LIMITED: 429, Reason.OUT_OF_QUOTA: 429, Reason.TIMEOUT: 504, Reason.CONNECT: 503}
_TYPE = {429: "rate_limit_error", 502: "server_error", 503: "server_error", 504: "server_error"}
_CODE = {429: "rate_limit_exceeded", 502: "backend_failed", 503: "backend_unavailable", 504: "backend_timeout"}
_RETRY_SECONDS = "5"
_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


async def respond(request: web.Request, exchange: Exchange, run: Next, face: Face) -> web.StreamResponse:
    """Answer `request`; `exchange.cleanup` has run when this returns or raises.

    Raises:
        ApiError: there is no answer.
    """
    exchange.call.caching = caching_of(request.headers, exchange.body)
    async with exchange.cleanup:
        try:
            outcome = await run(exchange)
        except NoBackend as error:
            raise unavailable(error) from error
        if isinstance(outcome, Streaming):
            return await _relay(request, exchange, outcome, face)
        answer = face.whole(outcome)
        return web.Response(body=answer.body, status=answer.status, headers={"Content-Type": answer.content_type})


async def _relay(request: web.Request, exchange: Exchange, outcome: Streaming, face: Face) -> web.StreamResponse:
    call, idle = exchange.call, exchange.route.timeouts.idle
    response = web.StreamResponse(headers={**_STREAM_HEADERS, **call.response_headers()})
    stream = face.stream()

    async def write(events: bytes) -> None:
        await writer.write(events, drain=False)
        if request.protocol.writing_paused:
            # A client that does not read is one that has left.
            async with asyncio.timeout(idle):
                await writer.drain()

    try:
        # What a response writes to: its own method would wait where nobody has to.
        writer = cast("StreamWriter", await response.prepare(request))
        try:
            async for events in outcome.events:
                if passed := stream.feed(events):
                    await write(passed)
        except BackendError as error:
            call.truncated = True
            await write(stream.broken(_broken(exchange, error)))
        except ApiError as error:
            # A stage ends a stream that is under way, for a reason of its own.
            call.truncated = True
            await write(stream.broken(error))
        await response.write_eof()
    except TimeoutError:
        call.truncated = True
        response.force_close()
        if request.transport is not None:
            request.transport.abort()
    return response


def _broken(exchange: Exchange, error: BackendError) -> ApiError:
    backend = exchange.call.backend
    message = f"the answer is not complete: backend {backend.name if backend else 'unknown'}: {error}"
    return ApiError(502, message, type_="server_error", code="stream_truncated")


def unavailable(error: NoBackend) -> ApiError:
    """The error of a request that no backend answers: where all failed alike the status says how; else 502."""
    statuses = {_STATUS.get(reason, 502) for reason in error.reasons}
    status = statuses.pop() if len(statuses) == 1 else 502
    retry = error.retry_after or (_RETRY_SECONDS if status in (429, 503) else None)
    headers = {"Retry-After": retry} if retry else {}
    return ApiError(status, str(error), type_=_TYPE[status], code=_CODE[status], headers=headers)
