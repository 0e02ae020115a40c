"""A stream of one backend: held back until it has something to say, then passed on as it comes.

It never claims to be complete when it is not: only the backend's own `[DONE]` ends it well.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiapp_service.config import TimeoutsConfig
from aiapp_service.llm.sse import DONE, EventTooLong, Splitter, data_of
from aiapp_service.llm.upstream import BackendError, Reason, Reply
from aiapp_service.llm.usage import Usage, usage_of

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
        self._held: list[bytes] = []
        self._complete = False

    @property
    def complete(self) -> bool:
        """Whether the backend has said all it had to say."""
        return self._complete

    async def start(self) -> None:
        """Read until the first token, or whatever else the model says first.

        Raises:
            BackendError: it ended, failed or said nothing before; another backend may serve.
        """
        begun = False
        while not begun:
            for event in self._split(await self._read(self._deadline)):
                if self._passes(event):
                    self._held.append(event)
                    begun = begun or _says_something(data_of(event))
            if self._complete and not begun:
                raise BackendError(Reason.BROKEN, "the answer is empty")

    async def next(self) -> bytes | None:
        """The next events; None when the stream is complete.

        Raises:
            BackendError: the stream broke off, or stood still for too long.
        """
        if self._held:
            held, self._held = b"".join(self._held), []
            return held
        while not self._complete:
            idle = asyncio.get_running_loop().time() + self._timeouts.idle
            chunk = await self._read(min(idle, self._deadline))
            passed = b"".join([event for event in self._split(chunk) if self._passes(event)])
            if passed:
                return passed
        return None

    async def _read(self, deadline: float) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                return await anext(self._chunks)
        except StopAsyncIteration:
            raise BackendError(Reason.BROKEN, "the answer ended too early") from None
        except TimeoutError:
            raise BackendError(Reason.TIMEOUT, "took too long") from None

    def _split(self, chunk: bytes) -> list[bytes]:
        try:
            return list(self._splitter.feed(chunk))
        except EventTooLong as error:
            raise BackendError(Reason.BROKEN, str(error)) from error

    def _passes(self, event: bytes) -> bool:
        """Take note of what an event says; False: it is not for the client."""
        if self._complete:
            return False
        self.pieces += 1
        if b"[DONE]" in event and data_of(event).strip() == DONE:
            self._complete = True
        elif b'"usage"' in event and not any(mark in event for mark in _NO_USAGE):
            document = _document(data_of(event))
            self.usage = usage_of(document) or self.usage
            return not (self._hides_usage and _only_usage(document))
        elif b'"error"' in event:
            document = _document(data_of(event))
            if isinstance(document, dict) and document.get("error"):
                raise BackendError(Reason.SERVER_ERROR, "reported an error within the stream")
        return True


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _only_usage(document: Any) -> bool:
    return isinstance(document, dict) and document.get("choices") == [] and bool(document.get("usage"))


def _says_something(data: bytes) -> bool:
    """Whether a chunk has content, a tool call, a refusal or an end: more than the role of who will speak.

    Raises:
        BackendError: this is no chunk of a chat.
    """
    if not data:
        return False
    document = _document(data)
    if not isinstance(document, dict):
        if data.strip() == DONE:
            return False
        raise BackendError(Reason.BROKEN, "sent something that is no chat")
    choices = document.get("choices")
    return any(_choice_says_something(choice) for choice in choices) if isinstance(choices, list) else False


def _choice_says_something(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
    spoken = isinstance(delta, dict) and any(value for name, value in delta.items() if name != "role")
    return spoken or choice.get("finish_reason") is not None
