"""A model server that speaks the Responses API itself, with names and fields of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening

WORDS = ("one ", "two ", "three ", "four")
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 13,
}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}


@dataclass
class Native:
    """What it does is set on it; what it saw and sent is kept."""

    words: tuple[str, ...] = WORDS
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    between: float = 0.0
    fail_before: bool = False  # the stream tells of a failure before the first word
    fail_after: int | None = None  # words, then it tells of a failure
    break_after: int | None = None  # words, then the connection is closed
    searches: bool = False  # it looks something up by itself
    calls: str = ""  # a function that it has called
    bodies: list[dict[str, Any]] = field(default_factory=list)
    sent: bytes = b""
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a client has gone away
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Native"]:
        """Listen on a free port of loopback."""
        app = web.Application()
        app.router.add_post("/v1/responses", self._guarded)
        async with listening(app, cancelled=True) as base:
            self.url = f"{base}/v1"
            yield self

    async def _guarded(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if self.status != 200:
            error = {"message": "told to fail", "type": "x", "param": None, "code": "told"}
            return web.json_response({"error": error}, status=self.status, headers=self.headers)
        response = self._response(body, len(self.bodies))
        if not body.get("stream"):
            self.sent = json.dumps(response, indent=1).encode()
            return web.Response(body=self.sent, content_type="application/json")
        return await self._stream(request, response)

    def _response(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        output = []
        if self.searches:
            output.append(SEARCH)
        if self.calls:
            call = {"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}", "status": "completed"}
            output.append({**call, "name": self.calls, "arguments": '{"a":1}'})
        else:
            part = {"type": "output_text", "text": "".join(self.words), "annotations": [], "logprobs": []}
            said = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed"}
            output.append({**said, "content": [part]})
        return {
            "id": f"resp_native{number}",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "metadata": body.get("metadata") or {},
            "model": body["model"],
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": body.get("store", True),
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": body.get("tools") or [],
            "top_p": 1.0,
            "usage": USAGE,
            "x_vendor": {"kept": True},
        }

    async def _stream(self, request: web.Request, whole: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **self.headers})
        await response.prepare(request)
        self.sent, count = b"", 0

        async def send(kind: str, **fields: Any) -> None:
            nonlocal count
            document = {"type": kind, "sequence_number": count, **fields}
            event = f"event: {kind}\ndata: {json.dumps(document)}\n\n".encode()
            count += 1
            self.sent += event
            with suppress(ConnectionError):
                await response.write(event)

        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        await send("response.created", response=begun)
        await send("response.in_progress", response=begun)
        failed = {**begun, "status": "failed", "error": {"code": "server_error", "message": "no"}}
        if self.fail_before:
            await send("response.failed", response=failed)
            return response
        for index, item in enumerate(whole["output"]):
            if item["type"] != "message":
                await send("response.output_item.added", output_index=index, item={**item, "status": "in_progress"})
                if item["type"] == "function_call":
                    where = {"item_id": item["id"], "output_index": index}
                    await send("response.function_call_arguments.delta", **where, delta=item["arguments"])
                    await send("response.function_call_arguments.done", **where, arguments=item["arguments"])
                await send("response.output_item.done", output_index=index, item=item)
                continue
            part = item["content"][0]
            where = {"item_id": item["id"], "output_index": index, "content_index": 0}
            added = {**item, "content": [], "status": "in_progress"}
            await send("response.output_item.added", output_index=index, item=added)
            await send("response.content_part.added", **where, part={**part, "text": ""})
            for number, word in enumerate(self.words):
                if number == self.break_after and request.transport is not None:
                    request.transport.abort()
                    return response
                if number == self.fail_after:
                    await send("response.failed", response=failed)
                    return response
                await send("response.output_text.delta", **where, delta=word, logprobs=[], obfuscation="abc")
                await asyncio.sleep(self.between)
            await send("response.output_text.done", **where, text=part["text"], logprobs=[])
            await send("response.content_part.done", **where, part=part)
            await send("response.output_item.done", output_index=index, item=item)
        await send("response.completed", response=whole)
        await response.write_eof()
        return response
