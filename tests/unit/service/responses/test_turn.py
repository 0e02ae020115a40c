"""A turn that is given up in the middle of its stream."""

import json
from collections.abc import AsyncIterator

from aiapp_service.config import ModelKind, TimeoutsConfig
from aiapp_service.llm.router import Route
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Outcome, Streaming
from aiapp_service.responses.request import Given
from aiapp_service.responses.store import LocalResponses
from aiapp_service.responses.turn import Turn

CHUNK = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "a"}}]}).encode() + b"\n\n"


async def test_what_was_generated_is_known_when_the_call_is_settled() -> None:
    call, order = Call("r"), []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield CHUNK
        finally:
            order.append("generated")

    async def settle() -> None:
        order.append("settled")

    async def following(exchange: Exchange) -> Outcome:
        exchange.cleanup.push_async_callback(settle)
        return Streaming(chunks())

    asked = Given.of({"model": "chat", "input": "x", "stream": True}).asked({})
    exchange = Exchange(call, Route("chat", ModelKind.CHAT, [], TimeoutsConfig()), Endpoint.CHAT, asked.chat)
    async with exchange.cleanup:
        outcome = await Turn(asked, call, LocalResponses()).run(exchange, following)
        assert isinstance(outcome, Streaming)
        assert b"response.created" in await anext(aiter(outcome.events))
    assert order == ["generated", "settled"]
