"""A stream of one backend: held back until it has something to say, then passed on as it comes.

It never claims to be complete when it is not: only the backend's own `[DONE]` ends it well.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiapp_service.config import TimeoutsConfig
from aiapp_service.llm.sse import DONE, EventTooLong, Splitter, data_of, events_of
from aiapp_service.llm.upstream import BackendError, Reason, Reply
from aiapp_service.llm.usage import Usage, usage_of
from aiapp_service.patience import Patience

# Sent with every chunk by some servers, and not worth a look.
_NO_USAGE = (b'"usage":null', b'"usage": null')


def with_usage(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """`body` asking for the stream's usage, and whether that was our idea."""
    given = body.get("stream_options")
    options = given if isinstance(given, dict) else {}
    if "include_usage" in options:
        return body, False
    return {**body, "stream_options": {**options, "include_usage": True}}, True


class ModelStream:
    """The events of one reply. `deadline` is the loop's time at which the request ends.

    With `hides_usage` the chunk that only tells the usage stays here: the client did not ask for it.
    """

    def __init__(self, reply: Reply, timeouts: TimeoutsConfig, deadline: float, *, hides_usage: bool) -> None:
        self.usage: Usage | None = None
        self.pieces = 0  # events that were passed on: about one a token
        self._chunks: AsyncIterator[bytes] = aiter(reply.chunks())
        self._timeouts = timeouts
        self._deadline = deadline
        self._hides_usage = hides_usage
        self._splitter = Splitter()
        self._loop = asyncio.get_running_loop()
        self._patience = Patience()
        self._held: list[bytes] = []
        self.complete = False  # whether the backend has said all it had to say

    async def start(self) -> None:
        """Read until the first token, or whatever else the model says first; for how long is the caller's affair.

        Raises:
            BackendError: it ended, failed or said nothing before; another backend may serve.
        """
        while True:
            whole = self._whole(await self._read())
            for event, end in events_of(whole):
                if self._passes(event):
                    self._held.append(event)
                    if self._says_something(data_of(event)):
                        self._held.append(self._passed(whole[end:]))
                        return
            if self.complete:
                raise BackendError(Reason.BROKEN, "the answer is empty")

    async def next(self) -> bytes | None:
        """The next events; None when the stream is complete.

        Raises:
            BackendError: the stream broke off, or stood still for too long.
        """
        if self._held:
            held, self._held = b"".join(self._held), []
            return held
        while not self.complete:
            idle = self._loop.time() + self._timeouts.idle
            try:
                chunk = await self._patience.wait(self._read(), min(idle, self._deadline))
            except TimeoutError:
                raise BackendError(Reason.TIMEOUT, "took too long") from None
            if passed := self._passed(self._whole(chunk)):
                return passed
        return None

    def close(self) -> None:
        """Nobody waits for more."""
        self._patience.close()

    async def _read(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            raise BackendError(Reason.BROKEN, "the answer ended too early") from None

    def _whole(self, chunk: bytes) -> bytes:
        try:
            return self._splitter.whole(chunk)
        except EventTooLong as error:
            raise BackendError(Reason.BROKEN, str(error)) from error

    def _passed(self, whole: bytes) -> bytes:
        """What of these events is for the client. Nearly all are passed on without a look at each of them."""
        plain = self._plain(whole)
        if plain:
            self.pieces += whole.count(b"\n\n", 0, plain)
        if plain == len(whole):
            return whole
        return whole[:plain] + b"".join([event for event, _ in events_of(whole[plain:]) if self._passes(event)])

    def _plain(self, whole: bytes) -> int:
        """Up to where these events are pieces of an answer and nothing else, which a search for some words shows."""
        return plain_until(whole, whole.find(b"[DONE]"), whole.find(b'"error"'), _usage_in(whole))

    def _says_something(self, data: bytes) -> bool:
        """Whether a chunk has content, a tool call, a refusal or an end: more than the role of who will speak.

        Raises:
            BackendError: this is no chunk of a chat.
        """
        if not data:
            return False
        document = document_of(data)
        if not isinstance(document, dict):
            if data.strip() == DONE:
                return False
            raise BackendError(Reason.BROKEN, "sent something that is no chat")
        choices = document.get("choices")
        return any(_choice_says_something(choice) for choice in choices) if isinstance(choices, list) else False

    def _passes(self, event: bytes) -> bool:
        """Take note of what an event says; False: it is not for the client."""
        if self.complete:
            return False
        self.pieces += 1
        if b"[DONE]" in event and data_of(event).strip() == DONE:
            self.complete = True
        elif b'"usage"' in event and not any(mark in event for mark in _NO_USAGE):
            document = document_of(data_of(event))
            self.usage = usage_of(document) or self.usage
            return not (self._hides_usage and _only_usage(document))
        elif b'"error"' in event:
            document = document_of(data_of(event))
            if isinstance(document, dict) and document.get("error"):
                raise BackendError(Reason.SERVER_ERROR, "reported an error within the stream")
        return True


def plain_until(whole: bytes, *places: int) -> int:
    """Where the first event begins that has one of these places in it; -1 is no place. The end where no event has."""
    if b"\r" in whole:
        return 0
    found = [at for at in places if at >= 0]
    if not found:
        return len(whole)
    before = whole.rfind(b"\n\n", 0, min(found))
    return before + 2 if before >= 0 else 0


def _usage_in(whole: bytes) -> int:
    """Where usage is told, or may be; -1: nowhere."""
    at = whole.find(b'"usage"')
    if at >= 0 and whole.count(b'"usage"') == sum(whole.count(mark) for mark in _NO_USAGE):
        return -1
    return at


def document_of(data: bytes) -> Any:
    """The JSON in an event's data; None where it is none."""
    try:
        return json.loads(data)
    except ValueError:
        return None


def _only_usage(document: Any) -> bool:
    return isinstance(document, dict) and document.get("choices") == [] and bool(document.get("usage"))


def _choice_says_something(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
    spoken = isinstance(delta, dict) and any(value for name, value in delta.items() if name != "role")
    return spoken or choice.get("finish_reason") is not None
