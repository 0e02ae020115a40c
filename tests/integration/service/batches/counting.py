"""A model server that counts how often it was asked what, and does what a test tells it to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.integration.service.listening import listening


@dataclass
class CountingUpstream:
    """`asked` counts by the words of the last message, `answered` those that got an answer."""

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[int]] = field(default_factory=dict)  # words -> status of each of the first tries
    seconds: float = 0.0
    stuck: set[str] = field(default_factory=set)  # never answered
    most_at_once: int = 0
    url: str = ""
    _now: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["CountingUpstream"]:
        """Listen while the context lasts."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embed)
        async with listening(app, cancelled=True) as base:
            self.url = f"{base}/v1"
            yield self

    def forget(self) -> None:
        """Begin anew."""
        self.asked.clear()
        self.answered.clear()
        self.failures, self.seconds, self.stuck, self.most_at_once = {}, 0.0, set(), 0

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        words = str(body["messages"][-1]["content"])
        refused = await self._work(words)
        if refused is not None:
            return refused
        message = {"role": "assistant", "content": f"Answer to {words}"}
        return web.json_response(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )

    async def _embed(self, request: web.Request) -> web.Response:
        body = await request.json()
        refused = await self._work(str(body["input"]))
        if refused is not None:
            return refused
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})

    async def _work(self, words: str) -> web.Response | None:
        self.asked[words] += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await asyncio.sleep(3600 if words in self.stuck else self.seconds)
        finally:
            self._now -= 1
        if self.failures.get(words):
            error = {"message": "told to fail", "type": "x", "param": None, "code": "told"}
            return web.json_response({"error": error}, status=self.failures[words].pop(0))
        self.answered[words] += 1
        return None
