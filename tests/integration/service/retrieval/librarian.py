"""A model server that looks things up: it calls `file_search`, and answers with what stands in the first passage."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


class Librarian:
    """`searches`: how often it looks before it answers; `also` names a function of the client's that it calls, too."""

    def __init__(self, searches: int = 1, also: str | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.fail_at: int | None = None
        self._searches = searches
        self._also = also

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Gives its URL."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        async with listening(app) as base:
            yield f"{base}/v1"

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        if self.fail_at is not None and len(self.bodies) >= self.fail_at:
            return web.json_response({"error": {"message": "broken"}}, status=500)
        results = [message for message in body["messages"] if message["role"] == "tool"]
        names = [tool["function"]["name"] for tool in body.get("tools", [])]
        if "file_search" in names and len(results) < self._searches:
            message, finish = self._call(body, len(results)), "tool_calls"
        else:
            passage = results[-1]["content"].split("\n\n")[1].split("\n", 1)[1] if results else "nothing"
            message, finish = {"role": "assistant", "content": f"It says: {passage}【1】 So there.【99】"}, "stop"
        return self._stream(body, message, finish) if body.get("stream") else self._whole(body, message, finish)

    def _call(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        asked = [message["content"] for message in body["messages"] if message["role"] == "user"][-1]
        function = {"name": "file_search", "arguments": json.dumps({"queries": [asked]})}
        calls = [{"id": f"call_{number}", "type": "function", "function": function}]
        if self._also:
            calls.append({"id": "call_x", "type": "function", "function": {"name": self._also, "arguments": "{}"}})
        return {"role": "assistant", "content": None, "tool_calls": calls}

    def _whole(self, body: dict[str, Any], message: dict[str, Any], finish: str) -> web.Response:
        choice = {"index": 0, "message": message, "finish_reason": finish}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"]}
        return web.json_response({**head, "choices": [choice], "usage": USAGE})

    def _stream(self, body: dict[str, Any], message: dict[str, Any], finish: str) -> web.Response:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        for index, call in enumerate(message.get("tool_calls", ())):
            arguments = call["function"]["arguments"]
            deltas.append({"tool_calls": [{"index": index, **call, "function": {**call["function"], "arguments": ""}}]})
            halves = (arguments[:7], arguments[7:])
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": half}}]} for half in halves]
        # Character by character: marks come in pieces.
        deltas += [{"content": character} for character in message["content"] or ""]
        head = {"id": f"c{len(self.bodies)}", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        chunks.append({**head, "choices": [], "usage": USAGE})
        lines = [json.dumps(chunk) for chunk in chunks]
        text = "".join(f"data: {line}\n\n" for line in (*lines, "[DONE]"))
        return web.Response(text=text, content_type="text/event-stream")
