"""A model server that has the client's function called, and then says what came of it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening

ARGUMENTS = '{"a":1,"b":2}'


@asynccontextmanager
async def calling() -> AsyncIterator[str]:
    """Runs one; gives its URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", _answer)
    async with listening(app) as base:
        yield f"{base}/v1"


async def _answer(request: web.Request) -> web.Response:
    body = await request.json()
    last = body["messages"][-1]
    if last["role"] == "tool":
        assert body["messages"][-2]["tool_calls"][0]["id"] == last["tool_call_id"]
        message: dict[str, Any] = {"role": "assistant", "content": f"It is {last['content']}"}
        pieces, finish = [message], "stop"
    else:
        function = {"name": body["tools"][0]["function"]["name"], "arguments": ARGUMENTS}
        call = {"id": "call_1", "type": "function", "function": function}
        message, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        begun = {"index": 0, **call, "function": {**function, "arguments": ""}}
        halves = [{"index": 0, "function": {"arguments": half}} for half in (ARGUMENTS[:4], ARGUMENTS[4:])]
        pieces = [{"role": "assistant", "tool_calls": [begun]}, *({"tool_calls": [half]} for half in halves)]
    head = {"id": "c", "created": 1, "model": body["model"]}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    choices = [*({"index": 0, "delta": piece} for piece in pieces), {"index": 0, "delta": {}, "finish_reason": finish}]
    chunks = [{**head, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
    lines = [json.dumps(chunk) for chunk in (*chunks, {**head, "choices": [], "usage": usage})]
    text = "".join(f"data: {line}\n\n" for line in (*lines, "[DONE]"))
    return web.Response(text=text, content_type="text/event-stream")
