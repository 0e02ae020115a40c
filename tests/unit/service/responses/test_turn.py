"""A turn that is streamed: when it is kept."""

import json
from collections.abc import AsyncIterator

from aiapp_service.config import ModelKind, TimeoutsConfig
from aiapp_service.llm.route import Route
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Outcome, Streaming
from aiapp_service.responses.request import Given
from aiapp_service.responses.store import LocalResponses
from aiapp_service.responses.turn import Turn

CHUNK = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "a"}}]}).encode() + b"\n\n"


ASKED = Given.of({"model": "chat", "input": "x", "stream": True}).asked({})


def exchange_of(call: Call) -> Exchange:
    return Exchange(call, Route("chat", ModelKind.CHAT, [], TimeoutsConfig()), Endpoint.CHAT, ASKED.chat)


async def test_kept_before_the_client_hears_of_its_end() -> None:
    """It may be referred to at once."""
    call, store = Call("r"), LocalResponses()

    async def chunks() -> AsyncIterator[bytes]:
        yield CHUNK
        yield b"data: [DONE]\n\n"

    async def following(_exchange: Exchange) -> Outcome:
        return Streaming(chunks())

    outcome = await Turn(ASKED, call, store).run(exchange_of(call), following)
    assert isinstance(outcome, Streaming)
    name, kept_at_the_end = ASKED.document["id"], False
    async for events in outcome.events:
        if b"response.completed" in events:
            kept_at_the_end = name in await store.read("", [name])
    assert kept_at_the_end
