"""Answers that are made here rather than relayed: what the backends with an API of their own have in common."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_service.llm.sse import EventTooLong, Splitter
from aiapp_service.llm.upstream import BackendError, Reason, Reply

JSON = "application/json"
_MOST_ANSWER_BYTES = 64 * 1024 * 1024


class Untranslatable(ValueError):
    """A request says what the backend's API has no words for; `param` names the field."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class MadeReply:
    """An answer in OpenAI's form."""

    status: int
    content_type: str
    retry_after: str | None
    body: AsyncIterator[bytes]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body."""
        return self.body


def refusal(
    message: str, *, type_: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> bytes:
    """The body of an error in OpenAI's shape."""
    return json.dumps({"error": {"message": message, "type": type_, "param": param, "code": code}}).encode()


def refused(error: Untranslatable) -> MadeReply:
    """What the client is told in place of an answer."""
    return MadeReply(400, JSON, None, once(refusal(str(error), param=error.param)))


def as_json(document: Mapping[str, Any]) -> bytes:
    """Compact, and sound also where a text has half a character in it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def once(body: bytes) -> AsyncIterator[bytes]:
    """A body in one piece."""
    yield body


async def read_whole(reply: Reply) -> bytes:
    """The body of an answer.

    Raises:
        BackendError: it breaks off, or is too large.
    """
    content = bytearray()
    async for chunk in reply.chunks():
        content += chunk
        if len(content) > _MOST_ANSWER_BYTES:
            raise BackendError(Reason.BROKEN, f"answered with more than {_MOST_ANSWER_BYTES} bytes")
    return bytes(content)


async def chat_events(chunks: AsyncIterator[bytes], feed: Callable[[bytes], bytes]) -> AsyncIterator[bytes]:
    """What `feed` makes of each event of a stream. What came before a failure is passed on before it is raised.

    Raises:
        BackendError: `feed` says so, or an event does not end.
    """
    splitter = Splitter()
    async for chunk in chunks:
        passed: list[bytes] = []
        try:
            for event in splitter.feed(chunk):
                passed.append(feed(event))  # noqa: PERF401  # what was passed before a failure is not lost
        except (BackendError, EventTooLong) as failure:
            yield b"".join(passed)
            if isinstance(failure, EventTooLong):
                raise BackendError(Reason.BROKEN, str(failure)) from failure
            raise
        if events := b"".join(passed):
            yield events


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a stream has to tell its usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def count(fields: Any, name: str) -> int:
    """A number of tokens, 0 where it is not told."""
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def dicts(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in a list; nothing where there is none."""
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
