"""An answer as a stream, of one round after the other: what the model says goes out as it comes, its searches do not.

A face that tells of searches finds a mark in the stream, see `calls.MARK`.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any

from aiapp_service.http.errors import ApiError
from aiapp_service.llm.route import NoBackend
from aiapp_service.llm.sse import DONE, Splitter, data_of, event_of
from aiapp_service.llm.usage import usage_of
from aiapp_service.pipeline.exchange import Outcome, Streaming
from aiapp_service.retrieval.tool.calls import MARK
from aiapp_service.retrieval.tool.citations import Citations
from aiapp_service.retrieval.tool.request import NAME
from aiapp_service.retrieval.tool.rounds import Rounds
from aiapp_service.retrieval.tool.usage_fields import chat_usage

_encode = json.JSONEncoder(separators=(",", ":")).encode


async def streamed(rounds: Rounds) -> Outcome:
    """The first round, and in its stream all others."""
    outcome = await rounds.ask()
    if not isinstance(outcome, Streaming):
        return outcome
    events = _Stream(rounds).events(outcome)
    rounds.exchange.cleanup.push_async_callback(events.aclose)
    return Streaming(events)


class _Stream:
    """The state of one stream: of the answer so far, and of the round that is under way."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        # Sources are added to the very list that it looks at.
        self._citations = Citations(rounds.searcher.sources)
        self._head: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._others = False
        self._said = ""
        self._usage: dict[str, Any] | None = None

    async def events(self, outcome: Streaming) -> AsyncGenerator[bytes, None]:
        """The events of the whole answer.

        Raises:
            BackendError, ApiError: it breaks off.
        """
        while True:
            splitter = Splitter()
            self._calls, self._others, self._said = {}, False, ""
            last = b""
            async for piece in outcome.events:
                written = []
                for event in splitter.feed(piece):
                    if data_of(event).strip() == DONE:
                        last = event
                    else:
                        written.append(self._event(event))
                if out := b"".join(written):
                    yield out
            await self._rounds.end()
            if not self._calls or self._others:
                yield self._ended() + last
                return
            message = {"content": self._said or None}
            await self._rounds.search(message, [self._calls[index] for index in sorted(self._calls)])
            if self._rounds.exchange.searches is not None:
                yield self._chunk({MARK: len(self._rounds.exchange.searches)})
            outcome = await self._next()

    async def _next(self) -> Streaming:
        try:
            outcome = await self._rounds.ask()
        except NoBackend as error:
            why = f"the answer is not complete: {error}"
            raise ApiError(502, why, type_="server_error", code="stream_truncated") from error
        if isinstance(outcome, Streaming):
            return outcome
        why = f"the answer is not complete: a backend refuses what was found ({outcome.status})"
        raise ApiError(502, why, type_="server_error", code="stream_truncated")

    def _event(self, event: bytes) -> bytes:
        try:
            document = json.loads(data_of(event))
            return self._document(document)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            if not data_of(event):
                return event
            why = "the answer is not complete: the backend sent something that is no chat"
            raise ApiError(502, why, type_="server_error", code="stream_truncated") from error

    def _document(self, document: dict[str, Any]) -> bytes:
        if not self._head:
            self._head = {name: document[name] for name in ("id", "object", "created", "model") if name in document}
        choices = document.get("choices")
        if usage_of(document) is not None and not choices:
            # That of all rounds is told at the end.
            self._usage = document
            return b""
        if not choices:
            return event_of(_encode({**document, **self._head}).encode())
        choice = choices[0]
        delta = choice.get("delta") or {}
        self._take_calls(delta)
        if isinstance(text := delta.get("content"), str):
            self._said += text
            delta["content"] = self._citations.feed(text)
        finish = choice.get("finish_reason")
        before = b""
        if finish is not None:
            if self._calls and not self._others:
                return b""
            before = self._ended()
        shown = {name: value for name, value in delta.items() if value not in ("", None, [])}
        if not shown and finish is None:
            return b""
        if len(self._rounds.exchange.call.rounds) > 1 and finish is None and set(shown) == {"role"}:
            return b""
        return before + event_of(_encode({**document, **self._head}).encode())

    def _take_calls(self, delta: dict[str, Any]) -> None:
        """Keep the calls that are ours; those of the client's functions stay."""
        theirs = []
        for piece in delta.get("tool_calls") or ():
            index, function = piece.get("index") or 0, piece.get("function") or {}
            if function.get("name") == NAME:
                name = {"name": NAME, "arguments": ""}
                self._calls[index] = {"id": piece.get("id") or f"call_{index}", "type": "function", "function": name}
            elif function.get("name"):
                # Some servers give all calls the same index.
                self._others = True
                theirs.append(piece)
                continue
            if index in self._calls:
                self._calls[index]["function"]["arguments"] += function.get("arguments") or ""
            else:
                theirs.append(piece)
        if "tool_calls" in delta:
            delta["tool_calls"] = theirs

    def _ended(self) -> bytes:
        """What is left to say before the end: held text, citations, the usage."""
        written = b""
        if text := self._citations.end():
            written += self._chunk({"content": text})
        if self._citations.found:
            written += self._chunk({"annotations": self._citations.found})
            self._citations.found = []
        if self._usage is not None and not self._rounds.under_way:
            written += event_of(_encode({**self._usage, **self._head, "usage": chat_usage(self._rounds.used)}).encode())
        return written

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return event_of(_encode({**self._head, "choices": [choice]}).encode())
