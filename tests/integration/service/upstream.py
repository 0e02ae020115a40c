"""A model server that does what a test tells it to: answers, delays, fails, breaks off, says nonsense."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening

# Long enough for pieces to arrive one by one.
PIECE_SECONDS = 0.1
WORDS = ("one", "two", "three", "four")


@dataclass
class Upstream:
    """What it does is set on it; what it saw is kept."""

    status: int = 200
    times: int | None = None  # so many requests get `status`, those after them are answered
    error: Any = None  # body of what is not 200
    before_headers: float = 0.0  # seconds
    before_first: float = 0.0
    between: float = 0.0
    break_after: int | None = None  # words, then the connection is closed
    stall_after: int | None = None  # words, then nothing more comes
    done: bool = True
    raw: tuple[bytes, ...] | None = None  # pieces that are sent instead of a proper answer
    headers: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = WORDS
    bodies: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    traceparents: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a client has gone away
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    vectors: dict[str, list[float]] = field(default_factory=dict)  # embeddings of certain texts
    url: str = ""

    @asynccontextmanager
    async def running(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator["Upstream"]:
        """Listen on loopback; port 0: any free one."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._guarded)
        app.router.add_post("/v1/embeddings", self._guarded)
        app.router.add_get("/v1/models", self._models)
        async with listening(app, host, port, cancelled=True) as base:
            self.url = f"{base}/v1"
            yield self

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": []}, status=self.status if self.status >= 400 else 200)

    async def _guarded(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.authorizations.append(request.headers.get("Authorization"))
        self.traceparents.append(request.headers.get("traceparent", ""))
        self.asked.set()
        await asyncio.sleep(self.before_headers)
        if self.status != 200 and (self.times is None or len(self.bodies) <= self.times):
            error = self.error or {"error": {"message": "told to fail", "type": "x", "param": None, "code": "told"}}
            return web.json_response(error, status=self.status, headers=self.headers)
        if request.path.endswith("/embeddings"):
            vector = self.vectors.get(str(body["input"]), [0.5, 0.5])
            data = [{"object": "embedding", "index": 0, "embedding": vector}]
            usage = {"prompt_tokens": 2, "total_tokens": 2}
            return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})
        if not body.get("stream"):
            return web.json_response(self._completion(body))
        return await self._stream(request, body)

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": " ".join(self.words)}
        usage = {"prompt_tokens": 7, "completion_tokens": len(self.words), "total_tokens": 7 + len(self.words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        head = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "x_vendor": {"kept": True},
        }
        return {**head, "choices": [choice], "usage": usage}

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **self.headers})
        await response.prepare(request)

        async def send(**fields: Any) -> None:
            head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
            await response.write(b"data: " + json.dumps({**head, **fields}).encode() + b"\n\n")

        if self.raw is not None:
            for piece in self.raw:
                await response.write(piece)
                await asyncio.sleep(PIECE_SECONDS)
            await response.write_eof()
            return response
        await send(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        await asyncio.sleep(self.before_first)
        for number, word in enumerate(self.words):
            if number == self.break_after and request.transport is not None:
                request.transport.abort()
                return response
            if number == self.stall_after:
                await asyncio.sleep(3600)
            await send(choices=[{"index": 0, "delta": {"content": word}, "finish_reason": None}])
            await asyncio.sleep(self.between)
        await send(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if (body.get("stream_options") or {}).get("include_usage"):
            await send(choices=[], usage={"prompt_tokens": 7, "completion_tokens": len(self.words)})
        if self.done:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response
