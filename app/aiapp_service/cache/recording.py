"""A stream that passes by, put together to the whole answer it would have been.

While it passes its bytes are only gathered; they are looked into when it is over, and nobody waits for that.
"""

import asyncio
import json
from collections import defaultdict
from typing import Any

from aiapp_service.cache.stored import MOST_BYTES
from aiapp_service.llm.sse import DONE, Splitter, data_of
from aiapp_service.llm.usage import Usage

# Of one stream, some thousand tokens: chunks say a lot besides their piece of the answer.
MOST_STREAM_BYTES = 2 * MOST_BYTES
# Of all streams of the process together.
MOST_TOGETHER_BYTES = 32 * MOST_BYTES
# Between so many chunks other requests get their turn.
_CHUNKS_AT_ONCE = 200
# Padding against those who measure the length of what is encrypted.
_NOISE = "obfuscation"


class Unfit(Exception):
    """The stream has something that cannot be put together, or is too long."""


class Room:
    """How many bytes all recordings together may still take."""

    def __init__(self, left: int = MOST_TOGETHER_BYTES) -> None:
        self.left = left


class Recording:
    """Gathers one stream, in the room that it shares with the others. Has to be forgotten in the end."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._events: list[bytes] = []
        self._bytes = 0
        self._forgotten = False

    def add(self, events: bytes) -> None:
        """More of it; what is too long, alone or together with the others, is forgotten."""
        if self._forgotten:
            return
        size = len(events)
        if size > self._room.left or self._bytes + size > MOST_STREAM_BYTES:
            self.forget()
            return
        self._events.append(events)
        self._bytes += size
        self._room.left -= size

    def forget(self) -> None:
        """Give the room back."""
        self._forgotten = True
        self._events.clear()
        self._room.left += self._bytes
        self._bytes = 0

    def taken(self) -> bytes:
        """All events. Raises Unfit where it is forgotten."""
        if self._forgotten:
            raise Unfit
        return b"".join(self._events)

    async def whole(self, usage: Usage | None) -> dict[str, Any]:
        """The chat completion; `usage` is for streams that do not tell it themselves.

        Raises:
            Unfit: there is none.
        """
        answer = _Answer()
        for number, event in enumerate(Splitter().feed(self.taken()), start=1):
            answer.take(data_of(event))
            if number % _CHUNKS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return answer.document(usage)


class _Answer:
    """One choice, growing."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._texts: defaultdict[str, list[str]] = defaultdict(list)
        self._annotations: list[Any] = []
        self._logprobs: dict[str, list[Any]] = {}
        self._choice: dict[str, Any] = {}
        self._usage: Any = None
        self._complete = False

    def take(self, data: bytes) -> None:
        """One chunk. Raises Unfit."""
        if not data:
            return
        if data.strip() == DONE:
            self._complete = True
            return
        try:
            chunk = json.loads(data)
        except ValueError as error:
            raise Unfit from error
        if not isinstance(chunk, dict):
            raise Unfit
        self._usage = chunk.pop("usage", None) or self._usage
        choices = chunk.pop("choices", None)
        for name, value in chunk.items():
            if name not in ("object", _NOISE):
                self._head[name] = self._head.get(name) or value
        for choice in choices if isinstance(choices, list) else []:
            self._take_choice(choice)

    def _take_choice(self, choice: Any) -> None:
        if not isinstance(choice, dict) or choice.get("index", 0) != 0:
            raise Unfit
        for name, value in choice.items():
            if value is None or name == "index":
                continue
            if name == "delta":
                self._take_delta(value)
            elif name == "logprobs":
                self._take_logprobs(value)
            elif isinstance(value, list):
                raise Unfit  # pieces of something unknown
            else:
                self._choice[name] = value

    def _take_delta(self, delta: Any) -> None:
        if not isinstance(delta, dict):
            raise Unfit
        for name, value in delta.items():
            if not value or name == "role":
                continue
            if isinstance(value, str):
                self._texts[name].append(value)
            elif name == "annotations" and isinstance(value, list):
                self._annotations += value
            else:
                raise Unfit  # tool calls, sound, or something unknown

    def _take_logprobs(self, logprobs: Any) -> None:
        if not isinstance(logprobs, dict):
            raise Unfit
        for name, values in logprobs.items():
            if values:
                self._logprobs.setdefault(name, []).extend(values)

    def document(self, usage: Usage | None) -> dict[str, Any]:
        """The whole. Raises Unfit without its `[DONE]`."""
        if not self._complete:
            raise Unfit
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, **texts}
        if self._annotations:
            message["annotations"] = self._annotations
        choice = {"index": 0, "message": message, "logprobs": self._logprobs or None, **self._choice}
        told = self._usage or (_told(usage) if usage is not None else None)
        whole = {**self._head, "object": "chat.completion", "choices": [choice]}
        return {**whole, "usage": told} if told else whole


def _told(usage: Usage) -> dict[str, Any]:
    """As OpenAI tells it."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
