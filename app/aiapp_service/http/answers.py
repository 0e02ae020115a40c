"""Passing on what models answer: whole, or as a stream that never claims to be complete when it is not."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from aiapp_service.http.calls import CALL, REQUEST_ID, Call
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.router import Answer, NoBackend, Opened, Route, Router
from aiapp_service.llm.sse import event_of
from aiapp_service.llm.upstream import BackendError, Endpoint, Reason
from aiapp_service.llm.usage import usage_of

_STATUS = {Reason.RATE_LIMITED: 429, Reason.TIMEOUT: 504, Reason.CONNECT: 503}
_TYPE = {429: "rate_limit_error", 502: "server_error", 503: "server_error", 504: "server_error"}
_CODE = {429: "rate_limit_exceeded", 502: "backend_failed", 503: "backend_unavailable", 504: "backend_timeout"}
_RETRY_SECONDS = "5"


async def whole(
    request: web.Request, router: Router, route: Route, endpoint: Endpoint, body: Mapping[str, Any]
) -> web.Response:
    """The answer in one piece, byte by byte as the backend gave it."""
    call = request[CALL]
    try:
        answer = await router.answer(route, endpoint, body)
    except NoBackend as error:
        raise _unavailable(error) from error
    return _passed_on(call, answer)


async def streamed(request: web.Request, router: Router, route: Route, body: Mapping[str, Any]) -> web.StreamResponse:
    """The answer as server-sent events."""
    call = request[CALL]
    call.streamed = True
    try:
        async with router.stream(route, Endpoint.CHAT, body) as result:
            if isinstance(result, Answer):
                return _passed_on(call, result)
            call.spoke()
            return await _relay(request, call, route, result)
    except NoBackend as error:
        raise _unavailable(error) from error


async def _relay(request: web.Request, call: Call, route: Route, opened: Opened) -> web.StreamResponse:
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", REQUEST_ID: call.request_id}
    response = web.StreamResponse(headers=headers)
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    call.settle(opened.backend, None)

    async def write(events: bytes) -> None:
        # A client that does not read is one that has left.
        async with asyncio.timeout(route.timeouts.idle):
            await response.write(events)

    try:
        await response.prepare(request)
        try:
            while (events := await opened.stream.next()) is not None:
                await write(events)
        except BackendError as error:
            opened.backend.failed(error)
            call.truncated = True
            await write(event_of(json.dumps(_broken(opened, error).document()).encode()))
        await response.write_eof()
    except TimeoutError:
        call.truncated = True
        response.force_close()
        if request.transport is not None:
            request.transport.abort()
    finally:
        call.settle(opened.backend, opened.stream.usage)
    return response


def _passed_on(call: Call, answer: Answer) -> web.Response:
    if answer.status == 200:
        try:
            usage = usage_of(json.loads(answer.body))
        except ValueError:
            usage = None
        call.settle(answer.backend, usage)
    else:
        call.backend = answer.backend.name
    return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)


def _broken(opened: Opened, error: BackendError) -> ApiError:
    message = f"the answer is not complete: backend {opened.backend.name}: {error}"
    return ApiError(502, message, type_="server_error", code="stream_truncated")


def _unavailable(error: NoBackend) -> ApiError:
    """Where all failed alike the status says how; else 502."""
    statuses = {_STATUS.get(reason, 502) for reason in error.reasons}
    status = statuses.pop() if len(statuses) == 1 else 502
    retry = error.retry_after or (_RETRY_SECONDS if status in (429, 503) else None)
    headers = {"Retry-After": retry} if retry else {}
    return ApiError(status, str(error), type_=_TYPE[status], code=_CODE[status], headers=headers)
