"""Google's Gemini API as its documentation shows it, told by a test what to answer.

https://ai.google.dev/api/generate-content, .../api/embeddings, .../gemini-api/docs/troubleshooting
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening

Part = dict[str, Any]
USAGE = {
    "promptTokenCount": 20,
    "cachedContentTokenCount": 5,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 4,
    "totalTokenCount": 29,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
}
TEXT: Part = {"text": "one two three"}
THOUGHT: Part = {"text": "Let me see.", "thought": True}
WEATHER: Part = {
    "functionCall": {"id": "fc-1", "name": "weather", "args": {"city": "Köln", "days": 2}},
    "thoughtSignature": "EqQBCgIYAhIM",
}
TIME: Part = {"functionCall": {"id": "fc-2", "name": "now", "args": {}}}


def error(code: int, status: str, message: str = "told to fail", *details: dict[str, Any]) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def invalid_key() -> dict[str, Any]:
    """What comes with status 400 for a key that is none."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    return error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", info)


@dataclass
class Gemini:
    """What it answers is set on it; what it was asked is kept."""

    parts: tuple[Part, ...] = (TEXT,)
    finish: str | None = "STOP"
    blocked: str | None = None
    usage: dict[str, Any] = field(default_factory=lambda: dict(USAGE))
    status: int = 200
    failure: dict[str, Any] = field(default_factory=lambda: error(500, "INTERNAL"))
    break_after: int | None = None  # chunks, then the connection is closed
    stop_after: int | None = None  # chunks, then the answer ends as if nothing were missing
    error_after: int | None = None  # chunks, then `failure` within the stream
    before_headers: float = 0.0  # seconds
    between: float = 0.0
    repeat: int = 1  # how often the words of a text are sent
    embedding_usage: dict[str, Any] | None = None
    models: tuple[dict[str, Any], ...] = ()
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)  # with their queries
    seen: list[dict[str, str]] = field(default_factory=list)  # headers, names in lower case
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gemini"]:
        """Listen on a free port of loopback."""
        app = web.Application(client_max_size=2**25)
        app.router.add_post("/v1beta/{resource:.+}:{method}", self._guarded)
        app.router.add_get("/v1beta/models", self._models)
        async with listening(app, cancelled=True) as base:
            self.url = f"{base}/v1beta"
            yield self

    async def _models(self, request: web.Request) -> web.Response:
        self.seen.append({name.lower(): value for name, value in request.headers.items()})
        if self.status != 200:
            return web.json_response(self.failure, status=self.status)
        return web.json_response({"models": list(self.models)})

    async def _guarded(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.paths.append(request.path_qs)
        self.seen.append({name.lower(): value for name, value in request.headers.items()})
        self.asked.set()
        await asyncio.sleep(self.before_headers)
        if self.status != 200:
            return web.json_response(self.failure, status=self.status)
        method = request.match_info["method"]
        if method == "batchEmbedContents":
            return web.json_response(self._embeddings(body))
        head = {"responseId": "r-1", "modelVersion": request.match_info["resource"].removeprefix("models/")}
        if method == "streamGenerateContent":
            return await self._stream(request, head)
        return web.json_response({**self._said(self.parts, self.finish), "usageMetadata": self.usage, **head})

    def _said(self, parts: tuple[Part, ...], finish: str | None) -> dict[str, Any]:
        if self.blocked:
            return {"promptFeedback": {"blockReason": self.blocked}}
        end = {"finishReason": finish} if finish else {}
        return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": 0, **end}]}

    async def _stream(self, request: web.Request, head: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, chunk in enumerate(self._chunks()):
            if number == self.break_after and request.transport is not None:
                request.transport.abort()
                return response
            if number == self.stop_after:
                break
            if number == self.error_after:
                await response.write(as_event(self.failure))
                break
            await response.write(as_event({**chunk, **head}))
            await asyncio.sleep(self.between)
        await response.write_eof()
        return response

    def _chunks(self) -> list[dict[str, Any]]:
        pieces = [piece for part in self.parts for piece in _pieces(part, self.repeat)]
        first = {"promptTokenCount": self.usage.get("promptTokenCount", 0)}
        chunks = [{**self._said((piece,), None), "usageMetadata": first} for piece in pieces]
        chunks[-1] = {**self._said((pieces[-1],), self.finish), "usageMetadata": self.usage}
        return chunks

    def _embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        """Each text as a vector that begins with its length."""
        vectors = [
            [float(len(asked["content"]["parts"][0]["text"])), *[1.0] * (asked.get("outputDimensionality", 4) - 1)]
            for asked in body["requests"]
        ]
        told = {"usageMetadata": self.embedding_usage} if self.embedding_usage else {}
        return {"embeddings": [{"values": vector} for vector in vectors], **told}


def as_event(document: dict[str, Any]) -> bytes:
    """A server-sent event, with the line ends that Google uses."""
    return f"data: {json.dumps(document)}\r\n\r\n".encode()


def _pieces(part: Part, repeat: int) -> list[Part]:
    if "text" not in part or part.get("thought"):
        return [part]
    words = part["text"].split(" ") * repeat
    return [{**part, "text": word if n == 0 else f" {word}"} for n, word in enumerate(words)]
