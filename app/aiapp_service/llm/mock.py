"""The Mock provider: deterministic answers without a network, for tests, demos and developers' machines.

A chat answers with the words of the last user message; an embedding is a unit vector that follows
from its text. The field `x_mock` of a request makes it slow or faulty:

    {"delay_seconds": 0.5,    before the answer begins
     "token_seconds": 0.05,   between the tokens of a stream
     "tokens": 40,            length of the answer, in tokens
     "status": 503,           answer with this error instead
     "drop_after": 3}         break off a stream after so many tokens
"""

import asyncio
import base64
import hashlib
import json
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from aiapp_service.llm.sse import DONE, event_of
from aiapp_service.llm.upstream import Ask, BackendError, Endpoint, Reason

CREATED = 0
DIMENSIONS = 256
_MOST_DIMENSIONS = 4096
_GREETING = "Hello from the mock provider."


@dataclass(frozen=True)
class Fault:
    """What `x_mock` asks for."""

    delay_seconds: float = 0.0
    token_seconds: float = 0.0
    tokens: int | None = None
    status: int | None = None
    drop_after: int | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Fault":
        """Read the field; what is not there or of another type keeps its default."""
        given = body.get("x_mock")
        fields = given if isinstance(given, dict) else {}

        def number(name: str) -> float | None:
            value = fields.get(name)
            return value if isinstance(value, (int, float)) and value >= 0 else None

        def count(name: str) -> int | None:
            value = number(name)
            return None if value is None else int(value)

        return cls(
            delay_seconds=number("delay_seconds") or 0.0,
            token_seconds=number("token_seconds") or 0.0,
            tokens=count("tokens"),
            status=count("status"),
            drop_after=count("drop_after"),
        )


class MockReply:
    """An answer made on the spot."""

    retry_after: str | None = None

    def __init__(self, status: int, content_type: str, body: AsyncIterator[bytes]) -> None:
        self.status = status
        self.content_type = content_type
        self._body = body

    def chunks(self) -> AsyncIterator[bytes]:
        """The body."""
        return self._body


class MockUpstream:
    """Answers every request by itself."""

    adds_usage = True

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[MockReply]:
        """Answer as told by `x_mock`."""
        fault = Fault.of(ask.body)
        if fault.delay_seconds > 0:
            await asyncio.sleep(fault.delay_seconds)
        if fault.status is not None:
            error = {"error": {"message": "the mock was told to fail", "type": "mock_error", "code": None}}
            yield MockReply(fault.status, "application/json", _once(error))
        elif ask.endpoint is Endpoint.EMBEDDINGS:
            yield MockReply(200, "application/json", _once(_embeddings(ask.body)))
        elif ask.body.get("stream"):
            yield MockReply(200, "text/event-stream", _stream(ask.body, fault))
        else:
            yield MockReply(200, "application/json", _once(_completion(ask.body, fault)))

    async def probe(self) -> None:
        """It is always there."""


async def _once(document: Mapping[str, Any]) -> AsyncIterator[bytes]:
    yield json.dumps(document).encode()


def _words(body: Mapping[str, Any], fault: Fault) -> list[str]:
    words = _last_user_text(body).split() or _GREETING.split()
    if fault.tokens is not None:
        words = list(islice(cycle(words), fault.tokens))
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(limit, int) and limit > 0:
        words = words[:limit]
    return [word if n == 0 else f" {word}" for n, word in enumerate(words)]


def _last_user_text(body: Mapping[str, Any]) -> str:
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part)


def _usage(body: Mapping[str, Any], answered: int) -> dict[str, int]:
    messages = body.get("messages")
    texts = [_text(m.get("content")) for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    asked = sum(len(text.split()) for text in texts)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _head(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(_last_user_text(body).encode("utf-8", "replace")).hexdigest()[:24]
    return {"id": f"chatcmpl-{digest}", "object": kind, "created": CREATED, "model": body.get("model")}


def _completion(body: Mapping[str, Any], fault: Fault) -> dict[str, Any]:
    words = _words(body, fault)
    message = {"role": "assistant", "content": "".join(words), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {**_head(body, "chat.completion"), "choices": [choice], "usage": _usage(body, len(words))}


async def _stream(body: Mapping[str, Any], fault: Fault) -> AsyncIterator[bytes]:
    head = _head(body, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event_of(json.dumps({**head, "choices": [choice]}).encode())

    words = _words(body, fault)
    yield chunk({"role": "assistant", "content": ""})
    for number, word in enumerate(words):
        if fault.drop_after is not None and number >= fault.drop_after:
            raise BackendError(Reason.BROKEN, "the answer broke off")
        if fault.token_seconds > 0:
            await asyncio.sleep(fault.token_seconds)
        yield chunk({"content": word})
    yield chunk({}, "stop")
    options = body.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        yield event_of(json.dumps({**head, "choices": [], "usage": _usage(body, len(words))}).encode())
    yield event_of(DONE)


def _embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    given = body.get("input")
    inputs = given if isinstance(given, list) and not _is_tokens(given) else [given]
    wanted = body.get("dimensions")
    size = min(wanted, _MOST_DIMENSIONS) if isinstance(wanted, int) and wanted > 0 else DIMENSIONS
    as_base64 = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": n, "embedding": _encoded(_vector(json.dumps(text), size), as_base64)}
        for n, text in enumerate(inputs)
    ]
    tokens = sum(len(text.split()) if isinstance(text, str) else len(text or ()) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}


def _is_tokens(given: list[Any]) -> bool:
    return bool(given) and all(isinstance(item, int) for item in given)


def _vector(text: str, size: int) -> list[float]:
    """Unit length; the same text always gives the same vector."""
    raw = hashlib.shake_256(text.encode("utf-8", "replace")).digest(2 * size)
    values = [value - 32767.5 for value in struct.unpack(f"<{size}H", raw)]
    norm = sum(value * value for value in values) ** 0.5
    return [value / norm for value in values]


def _encoded(vector: list[float], as_base64: bool) -> list[float] | str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_base64 else vector
