"""A whole answer as the stream that a client asked for."""

import json
from collections.abc import Iterator
from typing import Any

from aiapp_service.llm.sse import DONE, event_of

# Some clients read a line into a buffer of 64 KiB; one character takes up to twelve bytes of JSON.
PIECE_CHARACTERS = 4096
_encode = json.JSONEncoder(separators=(",", ":")).encode


def replayed(body: bytes, *, with_usage: bool) -> bytes:
    """The events of a chat completion that was kept, to the `[DONE]`."""
    document = json.loads(body)
    head = {name: value for name, value in document.items() if name not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    events = [_event({**head, "choices": [choice]}) for choice in _choices(document["choices"][0])]
    if with_usage and document.get("usage"):
        events.append(_event({**head, "choices": [], "usage": document["usage"]}))
    return b"".join([*events, event_of(DONE)])


def _choices(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Role, what vendors add (the reasoning comes before the answer), the answer, the end."""
    message = dict(choice["message"])
    content, role = message.pop("content"), message.pop("role", "assistant")
    logprobs = choice.get("logprobs")
    yield _spoken({"role": role, "content": ""})
    for name, value in message.items():
        for piece in pieces(value) if isinstance(value, str) else [value]:
            if piece:
                yield _spoken({name: piece})
    for number, piece in enumerate(pieces(content)):
        yield _spoken({"content": piece}, logprobs if number == 0 else None)
    rest = {name: value for name, value in choice.items() if name not in ("message", "logprobs")}
    yield {**rest, "index": 0, "delta": {}}


def _spoken(delta: dict[str, Any], logprobs: Any = None) -> dict[str, Any]:
    added = {"logprobs": logprobs} if logprobs is not None else {}
    return {"index": 0, "delta": delta, **added, "finish_reason": None}


def pieces(text: str) -> Iterator[str]:
    """A text as it fits into events."""
    for start in range(0, len(text), PIECE_CHARACTERS):
        yield text[start : start + PIECE_CHARACTERS]


def _event(document: dict[str, Any]) -> bytes:
    return event_of(_encode(document).encode("ascii"))
