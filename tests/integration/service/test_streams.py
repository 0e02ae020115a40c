"""Streams never claim to be complete when they are not, and nothing goes on for a client that has left."""

import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest

from aiapp_service.config import TimeoutsConfig
from tests.integration.service.conftest import FAST, Serve, Service, config
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

HELLO = [{"role": "user", "content": "Hello"}]
TRUNCATED = 'ai_streams_truncated_total{model="chat"}'


async def raw_stream(api: Service) -> list[bytes]:
    body = {"model": "chat", "messages": HELLO, "stream": True}
    async with api.http.post(f"{api.url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        return [event.removeprefix(b"data: ") for event in (await answer.read()).split(b"\n\n") if event]


TOKEN = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'


@pytest.mark.parametrize(
    "fault",
    [
        {"break_after": 2},
        {"stall_after": 2},
        {"done": False},
        {"between": 0.05, "words": ("a",) * 1000},
        {"raw": (TOKEN, b'data: {"error":{"message":"oom"}}\n\n', b"data: [DONE]\n\n")},
        {"raw": (TOKEN, b'data: {"choi')},
    ],
    ids=["breaks", "stalls", "no DONE", "too long", "error event", "half an event"],
)
async def test_what_breaks_off_ends_in_an_error_and_not_in_done(serve: Serve, fault: dict[str, Any]) -> None:
    soon = FAST.model_copy(update={"total": 2.0})
    async with Upstream(**fault).running() as upstream, serve(config(upstream.url, timeouts=soon)) as api:
        events = await raw_stream(api)
        assert b"[DONE]" not in events
        assert json.loads(events[-1])["error"]["code"] == "stream_truncated"
        assert all(json.loads(event) for event in events), "no half of an event reaches a client"
        await until("counted", lambda: api.metric(TRUNCATED) == 1)
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)


async def test_the_sdk_raises(serve: Serve) -> None:
    async with Upstream(break_after=2).running() as upstream, serve(config(upstream.url)) as api, api.sdk() as client:
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="not complete"):
            _ = [chunk async for chunk in stream]


async def test_complete_stream_ends_in_done_and_nothing_else(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api:
        events = await raw_stream(api)
        assert events[-1] == b"[DONE]"
        assert events.count(b"[DONE]") == 1
        await until("over", lambda: api.metric("ai_active_requests") == 0)
        assert api.metric(TRUNCATED) == 0


@pytest.mark.parametrize(
    ("upstream", "stream"),
    [
        (Upstream(before_headers=60), False),
        (Upstream(before_headers=60), True),
        (Upstream(before_first=60), True),
        (Upstream(between=0.05, words=("x",) * 2000), True),
    ],
    ids=["whole", "before the headers", "before the first token", "mid-stream"],
)
async def test_client_that_leaves_stops_the_backend(serve: Serve, upstream: Upstream, stream: bool) -> None:
    patient = config("http://x/v1").models[0].timeouts.model_copy(update={"first_token": 50.0, "total": 100.0})
    async with upstream.running(), serve(config(upstream.url, timeouts=patient)) as api:
        body = {"model": "chat", "messages": HELLO, "stream": stream}
        async with aiohttp.ClientSession() as leaving:
            request = asyncio.create_task(leaving.post(f"{api.url}/v1/chat/completions", json=body))
            await upstream.asked.wait()
            if upstream.between:
                answer = await request
                await answer.content.readany()
                answer.close()
            else:
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
        await until("the backend notices", upstream.left.is_set)
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)
        counted = 'ai_requests_total{code="499",endpoint="chat/completions",model="chat"}'
        await until("counted as left", lambda: api.metric(counted) == 1)


async def test_storm_of_leaving_clients_leaves_nothing_behind(serve: Serve) -> None:
    async with (
        Upstream(before_first=60).running() as upstream,
        serve(config(upstream.url, timeouts=TimeoutsConfig())) as api,
    ):
        body = {"model": "chat", "messages": HELLO, "stream": True}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as leaving:
            requests = [
                asyncio.create_task(leaving.post(f"{api.url}/v1/chat/completions", json=body)) for _ in range(100)
            ]
            await until("all under way", lambda: len(upstream.bodies) == 100)
            assert api.metric("ai_active_requests") == 100
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)


async def test_stop_lets_streams_finish(serve: Serve) -> None:
    """Closing waits for what runs; the client gets all of it."""
    upstream = Upstream(between=0.1, words=("x",) * 10)
    async with upstream.running(), aiohttp.ClientSession() as client:
        async with serve(config(upstream.url), drain_seconds=20) as api:
            body = {"model": "chat", "messages": HELLO, "stream": True}
            answer = await client.post(f"{api.url}/v1/chat/completions", json=body)
            await answer.content.readany()
        text = await answer.read()
        assert text.endswith(b"data: [DONE]\n\n")


async def test_client_that_does_not_read_is_given_up(serve: Serve) -> None:
    """Its buffers are full and stay so: the backend is not kept for it."""
    word = "x" * 100_000
    upstream = Upstream(words=(word,) * 10_000)
    async with upstream.running(), serve(config(upstream.url)) as api:
        body = {"model": "chat", "messages": HELLO, "stream": True}
        answer = await api.http.post(f"{api.url}/v1/chat/completions", json=body)
        await until("the backend notices", upstream.left.is_set, seconds=20)
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)
        used = 'ai_tokens_total{endpoint="chat/completions",model="chat",type="output"}'
        assert api.metric(used) > 0, "what was generated is billed"
        answer.close()
