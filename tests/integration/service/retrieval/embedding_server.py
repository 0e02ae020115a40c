"""A server of embeddings that is busy at first: it says 429 and when to come again."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.integration.service.listening import listening


class EmbeddingServer:
    """Has no room for the first `busy` requests; refuses texts that have `poison` in them."""

    def __init__(self, busy: int = 0, poison: str | None = None, seconds: float = 0.0) -> None:
        self.taken: list[list[str]] = []
        self.refused = 0
        self.url = ""
        self._busy = busy
        self._poison = poison
        self._seconds = seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator["EmbeddingServer"]:
        """Listen on loopback."""
        app = web.Application()
        app.router.add_post("/v1/embeddings", self._answer)
        app.router.add_get("/v1/models", self._models)
        async with listening(app) as base:
            self.url = f"{base}/v1"
            yield self

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": []})

    async def _answer(self, request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        if self.refused < self._busy:
            self.refused += 1
            error = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
            return web.json_response(error, status=429, headers={"Retry-After": "1"})
        if self._poison is not None and any(self._poison in text for text in texts):
            return web.json_response({"error": {"message": "no", "type": "invalid_request_error"}}, status=400)
        self.taken.append(texts)
        await asyncio.sleep(self._seconds)
        data = [{"object": "embedding", "index": n, "embedding": _vector(text)} for n, text in enumerate(texts)]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return web.json_response({"object": "list", "data": data, "model": "m", "usage": usage})


def _vector(text: str) -> list[float]:
    return [byte / 255 + 0.001 for byte in hashlib.sha256(text.encode()).digest()[:8]]
