"""Anthropic's Messages API as its documentation shows it, told by a test what to answer.

https://platform.claude.com/docs/en/api/messages/create, .../build-with-claude/streaming, .../api/errors
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening

Block = dict[str, Any]
USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 5,
    "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 4},
    "service_tier": "standard",
}
TEXT: Block = {"type": "text", "text": "one two three"}
WEATHER: Block = {"type": "tool_use", "id": "toolu_01A", "name": "weather", "input": {"city": "Köln", "days": 2}}
TIME: Block = {"type": "tool_use", "id": "toolu_01B", "name": "now", "input": {}}
THINKING: Block = {"type": "thinking", "thinking": "Let me see.", "signature": "EqQBCgIYAhIM"}


def error(type_: str, message: str = "told to fail", **fields: Any) -> dict[str, Any]:
    """The body of an error."""
    return {"type": "error", "error": {"type": type_, "message": message, **fields}, "request_id": "req_011"}


@dataclass
class Claude:
    """What it answers is set on it; what it was asked is kept."""

    content: tuple[Block, ...] = (TEXT,)
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    usage: dict[str, Any] = field(default_factory=lambda: dict(USAGE))
    status: int = 200
    failure: dict[str, Any] = field(default_factory=lambda: error("api_error"))
    headers: dict[str, str] = field(default_factory=dict)
    break_after: int | None = None  # events, then the connection is closed
    stop_after: int | None = None  # events, then the answer ends as if nothing were missing
    error_after: int | None = None  # events, then `failure` within the stream
    before_headers: float = 0.0  # seconds
    between: float = 0.0
    repeat: int = 1  # how often the pieces of a text are sent
    models: tuple[dict[str, Any], ...] = ()
    bodies: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)  # headers, names in lower case
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Claude"]:
        """Listen on a free port of loopback."""
        app = web.Application(client_max_size=2**25)
        app.router.add_post("/v1/messages", self._guarded)
        app.router.add_get("/v1/models", self._models)
        async with listening(app, cancelled=True) as base:
            self.url = f"{base}/v1"
            yield self

    async def _models(self, request: web.Request) -> web.Response:
        self.seen.append({name.lower(): value for name, value in request.headers.items()})
        if self.status != 200:
            return web.json_response(self.failure, status=self.status)
        return web.json_response({"data": list(self.models), "has_more": False, "first_id": None, "last_id": None})

    async def _guarded(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.seen.append({name.lower(): value for name, value in request.headers.items()})
        self.asked.set()
        await asyncio.sleep(self.before_headers)
        if self.status != 200:
            return web.json_response(self.failure, status=self.status, headers=self.headers)
        head = {"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "model": body["model"]}
        if body.get("stream"):
            return await self._stream(request, head)
        end = {"stop_reason": self.stop_reason, "stop_sequence": self.stop_sequence, "usage": self.usage}
        return web.json_response({**head, "content": list(self.content), **end})

    async def _stream(self, request: web.Request, head: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number, event in enumerate(self._events(head)):
            if number == self.break_after and request.transport is not None:
                request.transport.abort()
                return response
            if number == self.stop_after:
                break
            if number == self.error_after:
                await response.write(as_event(self.failure))
                break
            await response.write(as_event(event))
            await asyncio.sleep(self.between)
        await response.write_eof()
        return response

    def _events(self, head: dict[str, Any]) -> list[dict[str, Any]]:
        first = {**self.usage, "output_tokens": 1}
        first.pop("output_tokens_details", None)
        start = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": first}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
        for index, block in enumerate(self.content):
            empty, deltas = _pieces(block, self.repeat)
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            events += [{"type": "ping"}] if index == 0 else []
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        told = {name: self.usage[name] for name in ("output_tokens", "output_tokens_details") if name in self.usage}
        delta = {"stop_reason": self.stop_reason, "stop_sequence": self.stop_sequence}
        return [*events, {"type": "message_delta", "delta": delta, "usage": told}, {"type": "message_stop"}]


def as_event(document: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode()


def _pieces(block: Block, repeat: int) -> tuple[Block, list[Block]]:
    """A block as it starts, and the deltas that complete it."""
    if block["type"] == "text":
        words = block["text"].split(" ") * repeat
        texts = [word if n == 0 else f" {word}" for n, word in enumerate(words)]
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in texts]
    if block["type"] == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    # A tool without arguments gets one empty piece and nothing more.
    text = json.dumps(block["input"]) if block["input"] else ""
    halves = ["", text[: len(text) // 2], text[len(text) // 2 :]] if text else [""]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": half} for half in halves]
