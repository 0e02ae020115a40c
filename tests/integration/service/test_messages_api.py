"""What an application with the anthropic SDK sees, whichever backend answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from aiapp_service import credentials
from aiapp_service.config import AuthConfig, ModelConfig, ServiceConfig
from aiapp_service.pipeline.principal import Principal
from tests.integration.service.anthropic_server import TEXT, THINKING, TIME, USAGE, WEATHER, Claude, error
from tests.integration.service.conftest import FAST, Serve, Service, config, mock
from tests.integration.service.test_anthropic_backend import claude_config
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [{"name": "weather", "description": "Tells it", "input_schema": {"type": "object", "properties": {}}}]
PNG = "iVBORw0KGgo="
BACKENDS = ["mock", "openai", "anthropic"]


def sdk(api: Service, key: str = "none") -> AsyncAnthropic:
    return AsyncAnthropic(base_url=api.url, api_key=key, max_retries=0, timeout=20)


def mock_config() -> ServiceConfig:
    provider, backend = mock()
    return ServiceConfig(
        auth=AuthConfig(anonymous=True),
        providers=(provider,),
        models=(ModelConfig(name="chat", backends=(backend,), timeouts=FAST),),
    )


@asynccontextmanager
async def behind(serve: Serve, backend: str) -> AsyncIterator[tuple[Service, AsyncAnthropic]]:
    """The API with one kind of backend, each of which answers `one two three four` or what it was asked."""
    async with (
        Upstream().running() as upstream,
        Claude(content=({"type": "text", "text": " ".join(WORDS)},)).running() as claude,
        serve(
            {"mock": mock_config(), "openai": config(upstream.url), "anthropic": claude_config(claude)}[backend]
        ) as api,
        sdk(api) as client,
    ):
        yield api, client


@pytest.mark.parametrize("backend", BACKENDS)
async def test_message_whole_and_streamed(serve: Serve, backend: str) -> None:
    asked: Any = {"model": "chat", "max_tokens": 100, "messages": [{"role": "user", "content": " ".join(WORDS)}]}
    async with behind(serve, backend) as (api, client):
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            texts = [text async for text in stream.text_stream]
            streamed = await stream.get_final_message()
        for message in (whole, streamed):
            assert message.type == "message"
            assert message.role == "assistant"
            assert message.id.startswith("msg_")
            assert message.stop_reason == "end_turn"
            assert [block.type for block in message.content] == ["text"]
            assert "".join(b.text for b in message.content if b.type == "text").replace(" ", "") == "".join(WORDS)
            assert message.usage.output_tokens > 0
        assert len(texts) == len(WORDS), "each word comes by itself"
        assert streamed.usage == whole.usage
        counted = 'ai_requests_total{code="200",endpoint="chat/completions",model="chat"}'
        await until("counted", lambda: api.metric(counted) == 2)


async def test_everything_in_a_request_reaches_an_openai_backend(serve: Serve) -> None:
    messages: Any = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                {"type": "text", "text": "I ask."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "rain"}]},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api, sdk(api) as client:
        await client.messages.create(
            model="chat",
            max_tokens=7,
            system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            messages=messages,
            tools=TOOLS,
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            stop_sequences=["END"],
            metadata={"user_id": "u-1"},
            output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
            extra_body={"temperature": 0.5, "top_k": 3},
        )
    assert upstream.bodies[0].pop("prompt_cache_key"), "the mark for the cache"
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    parameters = TOOLS[0]["input_schema"]
    function = {"name": "weather", "arguments": '{"city": "Köln"}'}
    assert upstream.bodies == [
        {
            "model": "model-m0",
            "max_completion_tokens": 7,
            "temperature": 0.5,
            "stop": ["END"],
            "user": "u-1",
            "response_format": {"type": "json_schema", "json_schema": schema},
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "weather", "description": "Tells it", "parameters": parameters},
                }
            ],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": "I ask.",
                    "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}],
                },
                {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
                {"role": "user", "content": "And?"},
            ],
        }
    ]


@pytest.mark.parametrize("streamed", [False, True])
async def test_claude_behind_gives_back_what_it_said(serve: Serve, streamed: bool) -> None:
    """All the way through the chat format and back: thoughts, tools, the stop sequence, usage."""
    claude = Claude(content=(THINKING, TEXT, WEATHER, TIME), stop_reason="stop_sequence", stop_sequence="END")
    asked: Any = {"model": "chat", "max_tokens": 9, "messages": HELLO, "tools": TOOLS, "thinking": {"type": "adaptive"}}
    async with claude.running(), serve(claude_config(claude)) as api, sdk(api) as client:
        if streamed:
            async with client.messages.stream(**asked) as stream:
                message = await stream.get_final_message()
        else:
            message = await client.messages.create(**asked)
    said = [block.model_dump(exclude_none=True) for block in message.content]
    assert said == [{**THINKING, "signature": ""}, TEXT, WEATHER, TIME]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    counts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    assert message.usage.model_dump(include=set(counts)) == {name: USAGE[name] for name in counts}
    assert claude.bodies[0]["tools"] == TOOLS


async def test_thoughts_are_shown_only_to_who_asks(serve: Serve) -> None:
    claude = Claude(content=(THINKING, TEXT))
    async with claude.running(), serve(claude_config(claude)) as api, sdk(api) as client:
        message = await client.messages.create(model="chat", max_tokens=9, messages=HELLO)
        async with client.messages.stream(model="chat", max_tokens=9, messages=HELLO) as stream:
            streamed = await stream.get_final_message()
    assert [block.type for block in (*message.content, *streamed.content)] == ["text", "text"]


@pytest.mark.parametrize(
    ("status", "raised", "type_"),
    [
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (422, anthropic.UnprocessableEntityError, "invalid_request_error"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_failures_of_backends(serve: Serve, status, raised, type_, streamed) -> None:
    upstream = Upstream(status=status, headers={"Retry-After": "17"})
    async with upstream.running(), serve(config(upstream.url)) as api, sdk(api) as client:
        with pytest.raises(raised) as caught:
            await client.messages.create(model="chat", max_tokens=9, messages=HELLO, stream=streamed)
        assert caught.value.type == type_
        assert caught.value.request_id
        assert caught.value.body["request_id"] == caught.value.request_id
        if status == 429:
            assert caught.value.response.headers["retry-after"] == "17"


@pytest.mark.parametrize(
    ("change", "status", "names"),
    [
        ({"model": "nobody"}, 404, "nobody"),
        ({"model": None}, 400, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": ["x"]}, 400, "messages.0.role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, 400, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, 400, "messages.0.content.0"),
        ({"max_tokens": None}, 400, "max_tokens"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"stream": "yes"}, 400, "stream"),
        ({"tools": [{"type": "web_search_20260209", "name": "web_search"}]}, 400, "tools.0.type"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, 400, "tool_choice"),
        ({"mcp_servers": [{"url": "https://x"}]}, 400, "mcp_servers"),
        ({"output_config": {"format": {"type": "xml"}}}, 400, "output_config.format"),
    ],
)
async def test_wrong_requests_name_the_field(serve: Serve, change: dict[str, Any], status: int, names: str) -> None:
    body = {"model": "chat", "max_tokens": 9, "messages": HELLO, **change}
    async with (
        serve(mock_config()) as api,
        api.http.post(f"{api.url}/v1/messages", json=body) as answer,
    ):
        told = await answer.json()
        assert answer.status == status
        assert told["type"] == "error"
        assert told["error"]["type"] == {400: "invalid_request_error", 404: "not_found_error"}[status]
        assert names in told["error"]["message"]
        assert told["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_errors_from_around_it_have_its_shape(serve: Serve, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(credentials, "RECHECK_SECONDS", 0.0)
    (tmp_path / "alice").write_text("her-key")
    wanted = mock_config().model_copy(update={"auth": AuthConfig(api_keys_dir=tmp_path)})
    async with serve(wanted) as api, sdk(api, "her-key") as client, sdk(api, "no-key") as stranger:
        assert await client.messages.create(model="chat", max_tokens=9, messages=HELLO)
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await stranger.messages.create(model="chat", max_tokens=9, messages=HELLO)
        assert caught.value.type == "authentication_error"
        headers = {"Authorization": "Bearer her-key"}
        for method, path, status in (("GET", "", 405), ("POST", "/nothing", 404), ("GET", "/batches", 404)):
            async with api.http.request(method, f"{api.url}/v1/messages{path}", headers=headers) as answer:
                assert answer.status == status
                assert (await answer.json())["type"] == "error"
        async with api.http.get(f"{api.url}/v1/messagesque", headers=headers) as answer:
            assert (await answer.json())["error"]["code"] == "unknown_url", "other paths keep OpenAI's shape"


async def test_model_that_is_not_for_this_caller(serve: Serve, monkeypatch) -> None:
    monkeypatch.setattr(Principal, "may_ask", lambda _self, _model: False)
    async with serve(mock_config()) as api, sdk(api) as client:
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(model="chat", max_tokens=9, messages=HELLO)
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.count_tokens(model="chat", messages=HELLO)


BREAKS: list[tuple[str, dict[str, Any]]] = [
    ("openai", {"break_after": 2}),
    ("openai", {"done": False}),
    ("openai", {"stall_after": 2}),
    (
        "openai",
        {"raw": (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: nonsense\n\n", b"data: [DONE]\n\n")},
    ),
    ("anthropic", {"break_after": 5}),
    ("anthropic", {"error_after": 5}),
]


@pytest.mark.parametrize(("kind", "fault"), BREAKS, ids=lambda value: str(value)[:40])
async def test_what_breaks_off_never_ends_with_message_stop(serve: Serve, kind: str, fault: dict[str, Any]) -> None:
    claude = Claude(failure=error("overloaded_error"), **(fault if kind == "anthropic" else {}))
    upstream = Upstream(**(fault if kind == "openai" else {}))
    async with (
        claude.running(),
        upstream.running(),
        serve(claude_config(claude) if kind == "anthropic" else config(upstream.url)) as api,
        sdk(api) as client,
    ):
        body = {"model": "chat", "max_tokens": 9, "messages": HELLO, "stream": True}
        async with api.http.post(f"{api.url}/v1/messages", json=body) as answer:
            events = [event for event in (await answer.read()).split(b"\n\n") if event]
        assert not any(b"message_stop" in event or b"message_delta" in event for event in events)
        assert events[-1].startswith(b"event: error\n")
        assert json.loads(events[-1].partition(b"data: ")[2])["error"]["type"] == "api_error"
        with pytest.raises(anthropic.APIError, match="not complete"):
            async with client.messages.stream(model="chat", max_tokens=9, messages=HELLO) as stream:
                await stream.get_final_message()
        await until("counted", lambda: api.metric('ai_streams_truncated_total{model="chat"}') == 2)


async def test_client_that_leaves_stops_the_backend(serve: Serve) -> None:
    upstream = Upstream(between=0.05, words=("x",) * 2000)
    async with upstream.running(), serve(config(upstream.url)) as api, sdk(api) as client:
        async with client.messages.stream(model="chat", max_tokens=9, messages=HELLO) as stream:
            async for _ in stream.text_stream:
                break
        async with asyncio.timeout(10):
            await upstream.left.wait()
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)


async def test_tokens_are_estimated(serve: Serve) -> None:
    async with serve(mock_config()) as api, sdk(api) as client:
        short = await client.messages.count_tokens(model="chat", messages=HELLO)
        long = await client.messages.count_tokens(
            model="chat", system="x" * 400, messages=[{"role": "user", "content": "y" * 4000}], tools=TOOLS
        )
        assert 1 <= short.input_tokens <= 10
        assert 1100 <= long.input_tokens <= 1200
        with pytest.raises(anthropic.BadRequestError):
            await client.messages.count_tokens(model="chat", messages=[])
        assert api.metric('ai_requests_total{code="200",endpoint="chat/completions",model="chat"}') == 0
