"""A backend that has chats only, asked for responses: translated on the way there and back.

So a request that began at a backend with the Responses API can go on at one without.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiapp_service.http.errors import ApiError
from aiapp_service.llm.failures import Refused
from aiapp_service.llm.sse import DONE, data_of
from aiapp_service.llm.stream import with_usage
from aiapp_service.llm.translated import JSON, MadeReply, chat_events, once, read_whole
from aiapp_service.llm.upstream import Ask, BackendError, Endpoint, Reason, Reply, Upstream
from aiapp_service.responses import answer
from aiapp_service.responses.request import Asked, Given
from aiapp_service.responses.stream import ResponseStream

_EVENT_STREAM = "text/event-stream"


class OverChat:
    """`upstream` as if it had the Responses API."""

    has_responses = True
    adds_usage = False

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[Reply]:
        """Send as a chat.

        Raises:
            Refused: a chat has no words for it; other backends may.
        """
        asked = _asked(ask.body)
        chat: Mapping[str, object] = asked.chat
        if chat.get("stream") and self._upstream.adds_usage:
            chat, _ = with_usage(chat)
        async with self._upstream.send(Ask(Endpoint.CHAT, chat, ask.connect_seconds)) as reply:
            if reply.status != 200:
                yield reply
            elif reply.content_type == _EVENT_STREAM:
                yield MadeReply(200, _EVENT_STREAM, None, _events(reply, ResponseStream(asked.document)))
            else:
                yield MadeReply(200, JSON, None, once(await _whole(reply, asked)))

    async def probe(self) -> None:
        """Ask whether it is there."""
        await self._upstream.probe()


def _asked(body: Mapping[str, object]) -> Asked:
    try:
        return Given.of(body).asked({})
    except ApiError as error:
        message = f"takes chats only: {error}"
        content = json.dumps(error.document()).encode()
        raise Refused(Reason.UNSUPPORTED, message, error.status, JSON, content) from error


async def _whole(reply: Reply, asked: Asked) -> bytes:
    body = await read_whole(reply)
    try:
        return answer.dump(answer.respond(asked.document, body))
    except ApiError as error:
        raise BackendError(Reason.BROKEN, "sent something that is no chat") from error


async def _events(reply: Reply, stream: ResponseStream) -> AsyncIterator[bytes]:
    def feed(event: bytes) -> bytes:
        data = data_of(event).strip()
        if data == DONE:
            return stream.finish(None) + stream.last()
        if b'"error"' in data and _is_error(data):
            raise BackendError(Reason.SERVER_ERROR, "reported an error within the stream")
        try:
            return stream.feed(event)
        except ApiError as error:
            raise BackendError(Reason.BROKEN, "sent something that is no chat") from error

    async for events in chat_events(reply.chunks(), feed):
        yield events


def _is_error(data: bytes) -> bool:
    try:
        document = json.loads(data)
    except ValueError:
        return False
    return isinstance(document, dict) and bool(document.get("error"))
