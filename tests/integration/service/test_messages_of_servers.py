"""Servers that speak chat in ways of their own, as an application with the anthropic SDK sees them."""

import json
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.integration.service.conftest import Serve, Service
from tests.integration.service.patience import patient
from tests.integration.service.upstream import Upstream
from tests.integration.service.verbatim import Verbatim

HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOLS: Any = [{"name": name, "input_schema": {"type": "object"}} for name in ("a", "b")]
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
ASKED: Any = {"model": "chat", "max_tokens": 2000, "messages": HELLO, "tools": TOOLS}


def sdk(api: Service) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=api.url, api_key="none", max_retries=0, timeout=20)


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"


def call(index: int, arguments: str = "", **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": fields.pop("name")} if "name" in fields else {})}
    return {"index": index, "type": "function", "function": function, **fields}


def stream_of(*chunks: bytes) -> bytes:
    return b"".join(chunks) + b"data: [DONE]\n\n"


BEGUN_A, BEGUN_B = call(0, id="c1", name="a"), call(1, id="c2", name="b")
IN_TURNS = stream_of(
    chunk(tool_calls=[BEGUN_A]),
    chunk(tool_calls=[BEGUN_B]),
    chunk(tool_calls=[call(0, '{"x":')]),
    chunk(tool_calls=[call(1, '{"y":')]),
    chunk(tool_calls=[call(0, "1}"), call(1, "2}")]),
    chunk("tool_calls"),
)
ALL_OF_INDEX_0 = stream_of(
    chunk(tool_calls=[call(0, '{"x":1}', id="c1", name="a")]),
    chunk(tool_calls=[call(0, '{"y":', id="c2", name="b")]),
    chunk(tool_calls=[call(0, "2}")]),
    chunk("stop"),
)
ONE_AFTER_THE_OTHER = stream_of(
    chunk(tool_calls=[BEGUN_A]),
    chunk(tool_calls=[call(0, '{"x":')]),
    chunk(tool_calls=[call(0, "1}")]),
    chunk(tool_calls=[BEGUN_B]),
    chunk(tool_calls=[call(1, '{"y":2}')]),
    chunk("tool_calls"),
)


@pytest.mark.parametrize("sent", [IN_TURNS, ALL_OF_INDEX_0, ONE_AFTER_THE_OTHER])
async def test_parallel_calls_are_blocks_one_after_the_other(serve: Serve, sent: bytes) -> None:
    async with Verbatim(stream=sent).running() as upstream, serve(patient(upstream.url)) as api, sdk(api) as client:
        async with client.messages.stream(**ASKED) as stream:
            events = [event async for event in stream]
            message = await stream.get_final_message()
        found = [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
        assert found == [("c1", "a", {"x": 1}), ("c2", "b", {"y": 2})]
        assert message.stop_reason == "tool_use"
        places = [
            (event.type, event.index)
            for event in events
            if event.type in ("content_block_start", "content_block_delta", "content_block_stop")
        ]
        assert [index for _, index in places] == sorted(index for _, index in places)
        for index in (0, 1):
            kinds = [kind for kind, at in places if at == index]
            assert (kinds[0], kinds[-1]) == ("content_block_start", "content_block_stop")
            assert set(kinds[1:-1]) == {"content_block_delta"}


async def test_calls_without_arguments_wait_for_the_end(serve: Serve) -> None:
    sent = stream_of(chunk(tool_calls=[BEGUN_A]), chunk(tool_calls=[BEGUN_B]), chunk("tool_calls"))
    async with Verbatim(stream=sent).running() as upstream, serve(patient(upstream.url)) as api, sdk(api) as client:
        async with client.messages.stream(**ASKED) as stream:
            message = await stream.get_final_message()
        assert [(b.name, b.input) for b in message.content if b.type == "tool_use"] == [("a", {}), ("b", {})]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thoughts_are_told_whatever_the_server_calls_them(serve: Serve, name: str) -> None:
    message = {"role": "assistant", name: "hm", "content": "yes"}
    whole = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    sent = stream_of(chunk(**{name: "h"}), chunk(**{name: "m"}), chunk(content="yes"), chunk("stop"))
    async with (
        Verbatim(json.dumps(whole).encode(), sent).running() as upstream,
        serve(patient(upstream.url)) as api,
        sdk(api) as client,
    ):
        answers = [await client.messages.create(**ASKED, thinking=THINKING)]
        async with client.messages.stream(**ASKED, thinking=THINKING) as stream:
            answers.append(await stream.get_final_message())
        for answer in answers:
            thinking, text = answer.content
            assert thinking.type == "thinking"
            assert text.type == "text"
            assert (thinking.thinking, text.text) == ("hm", "yes")


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_that_end_with_stop_are_run_all_the_same(serve: Serve, stream: bool) -> None:
    wanted = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": '{"x":1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [wanted]}
    whole = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    upstream = Verbatim(
        json.dumps(whole).encode(), stream_of(chunk(tool_calls=[{"index": 0, **wanted}]), chunk("stop"))
    )
    async with upstream.running(), serve(patient(upstream.url)) as api, sdk(api) as client:
        if stream:
            async with client.messages.stream(**ASKED) as streaming:
                answer = await streaming.get_final_message()
        else:
            answer = await client.messages.create(**ASKED)
        assert answer.stop_reason == "tool_use"


async def test_retry_after_of_a_backend_reaches_the_client(serve: Serve) -> None:
    limited = Upstream(status=429, headers={"Retry-After": "7"})
    async with limited.running(), serve(patient(limited.url)) as api, sdk(api) as client:
        for _ in range(2):
            # The second time it rests, and is asked all the same: there is no other.
            with pytest.raises(anthropic.RateLimitError) as caught:
                await client.messages.create(**ASKED)
            assert caught.value.response.headers["Retry-After"] == "7"
