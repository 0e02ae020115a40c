"""The innermost stage: a backend answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from aiapp_service.llm.router import Answer, Asking, Opened, Router
from aiapp_service.llm.stream import ModelStream
from aiapp_service.llm.upstream import BackendError
from aiapp_service.llm.usage import usage_of
from aiapp_service.pipeline.accounting import estimated_output
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Streaming, Whole


def dispatching(router: Router) -> Next:
    """Asks the backends of the exchange's route."""

    async def dispatch(exchange: Exchange) -> Outcome:
        call, asking = exchange.call, Asking()
        try:
            return await _outcome(exchange, router, asking)
        except asyncio.CancelledError:
            # The client has left, and this one was at work for it.
            call.backend, call.worked, call.complete = asking.backend, asking.backend is not None, False
            raise

    return dispatch


async def _outcome(exchange: Exchange, router: Router, asking: Asking) -> Outcome:
    call = exchange.call
    if not exchange.streamed:
        return _whole(call, await router.answer(exchange.route, exchange.endpoint, exchange.body, asking))
    result = await exchange.cleanup.enter_async_context(
        router.stream(exchange.route, exchange.endpoint, exchange.body, asking)
    )
    if isinstance(result, Answer):
        return _whole(call, result)
    call.spoke()
    call.backend, call.worked = result.backend, True
    # The iteration itself is not ended when the client leaves while something is written to it.
    exchange.cleanup.callback(_note, call, result.stream)
    return Streaming(_events(call, result))


def _whole(call: Call, answer: Answer) -> Whole:
    call.backend = answer.backend
    if answer.status == 200:
        call.worked = True
        document = _document(answer.body)
        call.usage = usage_of(document)
        if call.usage is None:
            call.pieces = estimated_output(document)
    return Whole(answer.status, answer.body, answer.content_type)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


async def _events(call: Call, opened: Opened) -> AsyncIterator[bytes]:
    try:
        while (events := await opened.stream.next()) is not None:
            yield events
    except BackendError as error:
        opened.backend.failed(error)
        raise
    finally:
        _note(call, opened.stream)


def _note(call: Call, stream: ModelStream) -> None:
    call.usage, call.pieces, call.complete = stream.usage, stream.pieces, stream.complete
