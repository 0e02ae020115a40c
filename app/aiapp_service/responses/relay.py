"""One request for a response that a backend with this API answers: passed on, and kept here.

The conversation is ours, the backend keeps nothing: so a tenant sees only its own, any backend can go on with it, and
what a provider stores is nobody's concern. What we keep differs from what the backend says of it: `store` and
`previous_response_id` are put right in the few events that tell them, all else passes byte by byte.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.llm.responses_stream import ENDS, RESPONSE
from aiapp_service.llm.route import Route
from aiapp_service.llm.sse import data_of, events_of
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Streaming, Whole
from aiapp_service.responses import answer, ids
from aiapp_service.responses.again import again
from aiapp_service.responses.fields import refuse_elsewhere, refuse_foreign
from aiapp_service.responses.request import Given, named
from aiapp_service.responses.store import Record, ResponseStore
from aiapp_service.responses.turn import keep

_RATE_LIMITED = 429


def may_relay(route: Route, body: Mapping[str, Any]) -> bool:
    """Whether a request goes to backends as it is: prompts and searches in files are ours, and made of chats."""
    if not route.has_responses or body.get("prompt") is not None:
        return False
    tools = body.get("tools")
    listed = tools if isinstance(tools, list) else []
    return not any(isinstance(tool, dict) and tool.get("type") == "file_search" for tool in listed)


class Relay:
    """A stage around the whole pipeline, and the face of what it gives."""

    endpoint = Endpoint.RESPONSES

    def __init__(self, given: Given, records: Mapping[str, Record], call: Call, store: ResponseStore) -> None:
        """Look into the request.

        Raises:
            ApiError: it asks for what is not there.
        """
        refuse_elsewhere(dict(given.body))
        refuse_foreign(given.body)
        for number, item in enumerate(given.items):
            if not isinstance(item, dict):
                raise bad_request(f"input[{number}] has to be an object", f"input[{number}]")
        self._call = call
        self._kept_in = store
        self._store = given.store
        self._before = given.before(records)
        self._items = given.resolved(records)
        self._previous = given.previous
        if not self._items and not self._before:
            raise bad_request("input is required: a text, or a list with at least one item", "input")
        self.body = self._asked(given)
        self._document: Mapping[str, Any] = {}
        self._told = 0
        self._new = ids.new_response()

    def _asked(self, given: Given) -> dict[str, Any]:
        body = {name: value for name, value in given.body.items() if name != "previous_response_id"}
        if self._before or isinstance(body.get("input"), list):
            # A client that has nothing kept knows what it sends; others send what a backend would have kept.
            as_came = not self._store and list(self._items) == list(given.items)
            body["input"] = [*again(self._before), *(self._items if as_came else again(self._items))]
        return {**body, "store": False}

    async def run(self, exchange: Exchange, following: Next) -> Outcome:
        """The stage.

        Raises:
            ApiError: the backend's answer is no response, or whatever a stage has against the request.
        """
        outcome = await following(exchange)
        if isinstance(outcome, Streaming):
            return Streaming(self._events(outcome.events))
        if outcome.status != 200:
            return outcome
        try:
            response = json.loads(outcome.body)
            corrected = await self._kept(self._corrected(response))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            why = "the backend answered with something that is no response"
            raise ApiError(502, why, type_="server_error", code="backend_failed") from error
        return outcome if corrected == response else Whole(200, answer.dump(corrected), outcome.content_type)

    def whole(self, given: Whole) -> Whole:
        """The face: it is a response already, or an error, which is the same in all of OpenAI's APIs."""
        return given

    def stream(self) -> "Relay":
        """The face of the stream."""
        return self

    def feed(self, events: bytes) -> bytes:
        """They are a response's already."""
        return events

    def broken(self, error: ApiError) -> bytes:
        """`response.failed`."""
        code = "rate_limit_exceeded" if error.status == _RATE_LIMITED else "server_error"
        begun = {"id": self._new, "object": "response", "created_at": int(time.time()), "output": []}
        ended = {"status": "failed", "error": {"code": code, "message": str(error)}, "store": False}
        response = {**begun, **self._document, **ended}
        return _event({"type": "response.failed", "sequence_number": self._told, "response": response})

    async def _events(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for some in chunks:
            self._told += some.count(b"\n\n")
            if RESPONSE in some:
                yield b"".join([await self._with_response(event) for event, _ in events_of(some)])
            else:
                yield some

    async def _with_response(self, event: bytes) -> bytes:
        if RESPONSE not in event:
            return event
        try:
            document = json.loads(data_of(event))
            response = document["response"]
            corrected = self._corrected(response)
            if document["type"] in ENDS:
                corrected = await self._kept(corrected)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            why = "the answer is not complete: the backend sent something that is no response"
            raise ApiError(502, why, type_="server_error", code="stream_truncated") from error
        self._document = corrected
        return event if corrected == response else _event({**document, "response": corrected})

    def _corrected(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """As it is here. One that a cache gives has a name of its own: it is kept and deleted by itself."""
        changed: dict[str, Any] = {"id": self._new} if self._call.cache else {}
        if bool(response.get("store")) is not self._store:
            changed["store"] = self._store
        if response.get("previous_response_id") != self._previous:
            changed["previous_response_id"] = self._previous
        return {**response, **changed}

    async def _kept(self, response: dict[str, Any]) -> dict[str, Any]:
        """The response, kept if that was asked for and can be; `store` says which."""
        if not self._store or response.get("status") == "failed":
            return response
        name = response["id"]
        if not ids.may_be_name(name) or not isinstance(response["output"], list):
            raise TypeError("no response")
        record = Record(response, named(self._items, name), self._before)
        return {**response, "store": await keep(self._kept_in, self._call, record)}


def _event(document: Mapping[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (str(document["type"]).encode(), answer.dump(document))
