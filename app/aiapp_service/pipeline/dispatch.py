"""The innermost stage: a backend answers."""

import json
from collections.abc import AsyncGenerator

from aiapp_service.llm.router import Answer, Hints, Opened, Router
from aiapp_service.llm.upstream import BackendError
from aiapp_service.llm.usage import usage_of
from aiapp_service.pipeline.accounting import estimated_input
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Streaming, Whole


def dispatching(router: Router) -> Next:
    """Asks the backends of the exchange's route."""

    async def dispatch(exchange: Exchange) -> Outcome:
        call = exchange.call
        route, endpoint, body = exchange.route, exchange.endpoint, exchange.body
        tokens = estimated_input(endpoint, body) if route.weighs_tokens else 0
        hints = Hints(call.principal.tenant, tokens)
        if not exchange.streamed:
            return _whole(call, await router.answer(route, endpoint, body, hints))
        result = await exchange.cleanup.enter_async_context(router.stream(route, endpoint, body, hints))
        if isinstance(result, Answer):
            return _whole(call, result)
        call.spoke()
        call.backend = result.backend
        events = _events(call, result)
        # Whoever iterates may be cancelled between two events: the usage has to be known when the call is settled.
        exchange.cleanup.push_async_callback(events.aclose)
        return Streaming(events)

    return dispatch


def _whole(call: Call, answer: Answer) -> Whole:
    call.backend = answer.backend
    if answer.status == 200:
        try:
            call.usage = usage_of(json.loads(answer.body))
        except ValueError:
            call.usage = None
    return Whole(answer.status, answer.body, answer.content_type)


async def _events(call: Call, opened: Opened) -> AsyncGenerator[bytes, None]:
    stream = opened.stream
    try:
        while (events := await stream.next()) is not None:
            yield events
    except BackendError as error:
        opened.place.broke(error)
        raise
    finally:
        call.usage = stream.usage
        call.pieces = stream.pieces
