"""The innermost stage: a backend answers."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from aiapp_service.llm.router import Answer, Asking, Hints, Opened, Router
from aiapp_service.llm.stream import ModelStream
from aiapp_service.llm.upstream import BackendError
from aiapp_service.llm.usage import usage_of
from aiapp_service.pipeline.accounting import estimated_input, estimated_output
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
    call, route, endpoint, body = exchange.call, exchange.route, exchange.endpoint, exchange.body
    tokens = estimated_input(endpoint, body) if route.weighs_tokens else 0
    hints = Hints(call.principal.tenant, tokens)
    if not exchange.streamed:
        return _whole(call, await router.answer(route, endpoint, body, hints, asking))
    result = await exchange.cleanup.enter_async_context(router.stream(route, endpoint, body, hints, asking))
    if isinstance(result, Answer):
        return _whole(call, result)
    call.spoke()
    call.backend, call.worked = result.backend, True
    events = _events(call, result)
    # Whoever iterates may be cancelled between two events: the usage has to be known when the call is settled.
    exchange.cleanup.callback(_note, call, result.stream)
    exchange.cleanup.push_async_callback(events.aclose)
    return Streaming(events)


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
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


async def _events(call: Call, opened: Opened) -> AsyncGenerator[bytes, None]:
    try:
        while (events := await opened.stream.next()) is not None:
            yield events
    except BackendError as error:
        opened.place.broke(error)
        raise
    finally:
        opened.stream.close()
        _note(call, opened.stream)


def _note(call: Call, stream: ModelStream) -> None:
    call.usage, call.pieces, call.complete = stream.usage, stream.pieces, stream.complete
