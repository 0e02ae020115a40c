"""One request for a response on its way: asked as a chat, answered as a response, kept before the client has it."""

import logging
from collections.abc import AsyncIterator
from typing import Any

from aiapp_service.http.errors import ApiError
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Streaming, Whole
from aiapp_service.responses import answer, ids, items
from aiapp_service.responses.items import Item
from aiapp_service.responses.request import Asked
from aiapp_service.responses.store import Record, ResponseStore
from aiapp_service.responses.stream import ResponseStream
from aiapp_service.retrieval.tool.calls import SearchCall
from aiapp_service.stores.breaker import StoreDown

log = logging.getLogger(__name__)


class Turn:
    """A stage around the whole pipeline, and the face of what it gives."""

    endpoint = Endpoint.CHAT

    def __init__(self, asked: Asked, call: Call, store: ResponseStore) -> None:
        self._asked = asked
        self._call = call
        self._store = store
        self._searches: list[SearchCall] = []
        self._stream = ResponseStream(asked.document, self._searches, results=asked.results)

    @property
    def body(self) -> dict[str, Any]:
        """The request for a chat completion that it asks."""
        return self._asked.chat

    async def run(self, exchange: Exchange, following: Next) -> Outcome:
        """The stage: a response in place of the chat completion.

        Raises:
            ApiError: the backend's answer is no chat completion, or whatever a stage has against the request.
        """
        exchange.searches = self._searches
        outcome = await following(exchange)
        if isinstance(outcome, Streaming):
            return Streaming(self._events(outcome.events))
        if outcome.status != 200:
            return outcome
        response = answer.respond(self._asked.document, outcome.body, self._searched())
        return Whole(200, answer.dump(await self._kept(response)))

    def whole(self, given: Whole) -> Whole:
        """The face: it is a response already, or an error, which is the same in all of OpenAI's APIs."""
        return given

    def stream(self) -> "Turn":
        """The face of the stream."""
        return self

    def feed(self, events: bytes) -> bytes:
        """They are a response's already."""
        return events

    def broken(self, error: ApiError) -> bytes:
        """`response.failed`."""
        return self._stream.failed(error)

    async def _events(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        stream = self._stream
        async for some in chunks:
            if events := stream.feed(some):
                yield events
        ended = stream.finish(self._call.usage)
        stream.document = await self._kept(stream.document)
        yield ended + stream.last()

    def _searched(self) -> list[Item]:
        response, results = self._asked.document["id"], self._asked.results
        return [
            items.file_search_call(ids.of_item("fs", response, number), items.status_of(call), call, results=results)
            for number, call in enumerate(self._searches)
        ]

    async def _kept(self, response: dict[str, Any]) -> dict[str, Any]:
        """The response, kept if that was asked for and can be; `store` says which."""
        if not self._asked.store:
            return response
        record = Record(response, self._asked.input, self._asked.before)
        return {**response, "store": await keep(self._store, self._call, record)}


async def keep(store: ResponseStore, call: Call, record: Record) -> bool:
    """Whether the response of `call` is kept now; where it is not, the log says why."""
    try:
        why = "" if await store.write(call.principal.tenant, record) else "too large"
    except StoreDown as error:
        why = str(error)
    if why:
        log.warning("response not stored", extra={"request_id": call.request_id, "reason": why})
    return not why
