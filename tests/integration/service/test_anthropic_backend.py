"""Anthropic behind OpenAI's API: what an application with the openai SDK sees, and what Anthropic is asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field

from aiapp_service.config import (
    BackendConfig,
    ModelConfig,
    ModelKind,
    PriceConfig,
    ProviderConfig,
    ProviderKind,
    ServiceConfig,
)
from aiapp_service.llm import monitor
from tests.integration.service.anthropic_server import TEXT, THINKING, TIME, WEATHER, Claude, error
from tests.integration.service.conftest import FAST, Serve, Service, config
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until

HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
PRICE = PriceConfig(input_per_1m="3", output_per_1m="15", cached_input_per_1m="0.3")  # type: ignore[arg-type]


def claude_config(claude: Claude, *urls: str, key_file: Path | None = None, model: str = "claude-x") -> ServiceConfig:
    """Model `chat`: Claude first, then an OpenAI-compatible backend for each URL."""
    rest = config(*urls)
    provider = ProviderConfig(name="claude", kind=ProviderKind.ANTHROPIC, base_url=claude.url, api_key_file=key_file)
    others = rest.models[0].backends
    backends = (BackendConfig(provider="claude", model=model, price=PRICE), *others)
    models = (ModelConfig(name="chat", backends=backends, timeouts=FAST),)
    return ServiceConfig(**{**dict(rest), "providers": (provider,), "models": models})


@asynccontextmanager
async def served(serve: Serve, claude: Claude, **fields: Any) -> AsyncIterator[tuple[Service, openai.AsyncOpenAI]]:
    async with claude.running(), serve(claude_config(claude, **fields)) as api, api.sdk() as client:
        yield api, client


async def test_answer_and_its_usage_and_cost(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-ant-secret\n")
    claude = Claude(content=(THINKING, TEXT))
    async with served(serve, claude, key_file=tmp_path / "key") as (api, client):
        answer = await client.chat.completions.create(
            model="chat",
            messages=[{"role": "system", "content": "Be brief."}, *HELLO],
            temperature=0.7,
            seed=1,
            stop="\n\nEnd",
            user="u-1",
            extra_body={"x_vendor": 1},
        )
        assert answer.choices[0].message.content == "one two three"
        assert answer.choices[0].message.model_extra == {"reasoning_content": "Let me see."}
        assert answer.choices[0].finish_reason == "stop"
        usage = answer.usage
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (20, 9, 29)
        assert usage.prompt_tokens_details is not None
        assert usage.prompt_tokens_details.cached_tokens == 5
        assert usage.completion_tokens_details is not None
        assert usage.completion_tokens_details.reasoning_tokens == 4
        assert api.metric('ai_cost_usd{model="chat"}') == pytest.approx((15 * 3 + 5 * 0.3 + 9 * 15) / 1e6)
    assert claude.bodies == [
        {
            "model": "claude-x",
            "max_tokens": 16384,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "system": "Be brief.",
            "stop_sequences": ["\n\nEnd"],
            "metadata": {"user_id": "u-1"},
        }
    ]
    assert claude.seen[0]["x-api-key"] == "sk-ant-secret"
    assert claude.seen[0]["anthropic-version"] == "2026-10-21"
    assert "authorization" not in claude.seen[0]


async def test_stream_word_by_word_with_usage(serve: Serve) -> None:
    async with served(serve, Claude(content=(THINKING, TEXT))) as (api, client):
        stream = await client.chat.completions.create(
            model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        words = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
        assert words == ["one", " two", " three"]
        assert {chunk.model for chunk in chunks} == {"claude-x"}
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (20, 9)
        await until(
            "tokens counted",
            lambda: api.metric('ai_tokens_total{endpoint="chat/completions",model="chat",type="cached"}') == 5,
        )


async def test_usage_nobody_asked_for_is_counted_and_not_shown(serve: Serve) -> None:
    async with served(serve, Claude()) as (api, client):
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        assert [chunk for chunk in [c async for c in stream] if chunk.usage or not chunk.choices] == []
        counted = 'ai_tokens_total{endpoint="chat/completions",model="chat",type="output"}'
        await until("tokens counted", lambda: api.metric(counted) == 9)


@pytest.mark.parametrize("streamed", [False, True])
async def test_several_tools_are_called_and_their_results_sent_back(serve: Serve, streamed: bool) -> None:
    claude = Claude(content=(TEXT, WEATHER, TIME), stop_reason="tool_use")
    async with served(serve, claude) as (_, client):
        if streamed:
            async with client.chat.completions.stream(model="chat", messages=HELLO, tools=TOOLS) as stream:
                answer: Any = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.create(model="chat", messages=HELLO, tools=TOOLS)
        said = answer.choices[0].message
        assert answer.choices[0].finish_reason == "tool_calls"
        assert said.content == "one two three"
        called = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in said.tool_calls]
        assert called == [("toolu_01A", "weather", {"city": "Köln", "days": 2}), ("toolu_01B", "now", {})]
        calls = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for i, name, given in called
        ]
        results: Any = [
            {"role": "assistant", "content": said.content, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "toolu_01A", "content": "rain"},
            {"role": "tool", "tool_call_id": "toolu_01B", "content": "noon"},
        ]
        claude.content, claude.stop_reason = (TEXT,), "end_turn"
        await client.chat.completions.create(model="chat", messages=[*HELLO, *results], tools=TOOLS)
    sent = claude.bodies[1]["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "user"]
    assert sent[1]["content"] == [TEXT, WEATHER, TIME]
    assert [(b["type"], b["tool_use_id"]) for b in sent[2]["content"]] == [
        ("tool_result", "toolu_01A"),
        ("tool_result", "toolu_01B"),
    ]


class Place(BaseModel):
    city: str = Field(min_length=1)


async def test_answer_that_follows_a_schema(serve: Serve) -> None:
    claude = Claude(content=({"type": "text", "text": '{"city": "Köln"}'},))
    async with served(serve, claude) as (_, client):
        answer = await client.chat.completions.parse(model="chat", messages=HELLO, response_format=Place)
    assert answer.choices[0].message.parsed == Place(city="Köln")
    format_ = claude.bodies[0]["output_config"]["format"]
    assert format_["type"] == "json_schema"
    assert format_["schema"]["additionalProperties"] is False
    assert "minLength" not in format_["schema"]["properties"]["city"], "the API refuses what it cannot enforce"
    assert "minLength" in format_["schema"]["properties"]["city"]["description"]


FAILURES = [
    (401, "authentication_error", {}, "refused_key"),
    (403, "permission_error", {}, "refused_key"),
    (404, "not_found_error", {}, "model_missing"),
    (429, "rate_limit_error", {}, "rate_limited"),
    (402, "billing_error", {}, "out_of_quota"),
    (400, "invalid_request_error", {"details": {"error_code": "enforced_spend_limit_reached"}}, "out_of_quota"),
    (500, "api_error", {}, "server_error"),
    (504, "timeout_error", {}, "timeout"),
    (529, "overloaded_error", {}, "server_error"),
]


@pytest.mark.parametrize(("status", "type_", "more", "reason"), FAILURES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_next_backend_when_it_fails(serve: Serve, status, type_, more, reason, streamed) -> None:
    claude = Claude(status=status, failure=error(type_, **more))
    async with (
        claude.running(),
        Upstream().running() as second,
        serve(claude_config(claude, second.url)) as api,
        api.sdk() as client,
    ):
        answer = await client.chat.completions.create(model="chat", messages=HELLO, stream=streamed)
        if streamed:
            said = "".join([c.choices[0].delta.content or "" async for c in answer])
            assert said == "".join(WORDS)
        sample = f'ai_fallbacks_total{{from="claude/claude-x",model="chat",reason="{reason}",to="m0/model-m0"}}'
        assert api.metric(sample) == 1


async def test_out_of_quota_says_when_to_come_back(serve: Serve) -> None:
    claude = Claude(status=429, failure=error("rate_limit_error"), headers={"retry-after": "17"})
    async with served(serve, claude) as (_, client):
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="chat", messages=HELLO)
        assert caught.value.response.headers["retry-after"] == "17"


@pytest.mark.parametrize("streamed", [False, True])
async def test_clients_mistake_is_told_in_its_own_words(serve: Serve, streamed: bool) -> None:
    claude = Claude(status=400, failure=error("invalid_request_error", "max_tokens: 999999 > 64000"))
    async with served(serve, claude) as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="chat", messages=HELLO, stream=streamed)
        assert caught.value.type == "invalid_request_error"
        assert "999999 > 64000" in caught.value.message


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_it_has_no_words_for_is_refused_before_it_is_asked(serve: Serve, streamed: bool) -> None:
    async with served(serve, claude := Claude()) as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="chat", messages=HELLO, n=2, stream=streamed)
        assert caught.value.param == "n"
        assert claude.bodies == []


# message_start, content_block_start, ping, then words
@pytest.mark.parametrize("fault", [{"break_after": 5}, {"stop_after": 5}, {"error_after": 5}, {"stop_after": 8}])
async def test_what_breaks_off_is_no_complete_answer(serve: Serve, fault: dict[str, int]) -> None:
    claude = Claude(**fault, failure=error("overloaded_error", "Overloaded"))  # type: ignore[arg-type]
    async with served(serve, claude) as (api, client):
        words: list[str] = []
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)

        async def read() -> None:
            async for chunk in stream:
                words.append(chunk.choices[0].delta.content or "")  # noqa: PERF401  # what came before the end counts

        with pytest.raises(openai.APIError, match="not complete"):
            await read()
        assert "".join(words).startswith("one two")
        await until("counted", lambda: api.metric('ai_streams_truncated_total{model="chat"}') == 1)


@pytest.mark.parametrize("fault", [{"break_after": 3}, {"stop_after": 1}, {"error_after": 0}])
async def test_next_backend_when_it_fails_before_the_first_word(serve: Serve, fault: dict[str, int]) -> None:
    claude = Claude(**fault, failure=error("overloaded_error"))  # type: ignore[arg-type]
    async with (
        claude.running(),
        Upstream().running() as second,
        serve(claude_config(claude, second.url)) as api,
        api.sdk() as client,
    ):
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        assert {chunk.model async for chunk in stream} == {"model-m0"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_client_that_leaves_before_the_first_word_stops_it(serve: Serve, streamed: bool) -> None:
    claude = Claude(before_headers=60)
    patient = FAST.model_copy(update={"first_token": 50.0, "total": 100.0})
    async with claude.running():
        wanted = claude_config(claude)
        models = (wanted.models[0].model_copy(update={"timeouts": patient}),)
        async with serve(wanted.model_copy(update={"models": models})) as api, api.sdk() as client:
            create = client.chat.completions.create
            request = asyncio.create_task(create(model="chat", messages=HELLO, stream=streamed))
            async with asyncio.timeout(10):
                await claude.asked.wait()
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
                await claude.left.wait()
            await until("no request under way", lambda: api.metric("ai_active_requests") == 0)


async def test_client_that_leaves_in_between_stops_it(serve: Serve) -> None:
    claude = Claude(between=0.02, repeat=1000)
    async with served(serve, claude) as (api, client):
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        async with asyncio.timeout(10):
            await claude.left.wait()
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)


async def test_probe_asks_with_the_key_and_learns_what_models_take(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-ant-secret")
    no, yes = {"supported": False}, {"supported": True}
    capabilities = {"effort": {**no, "low": no, "high": no}, "thinking": {**yes, "types": {"adaptive": no}}}
    old = {"type": "model", "id": "claude-old-20250101", "max_tokens": 8192, "capabilities": capabilities}
    claude = Claude(models=(old,))
    async with served(serve, claude, key_file=tmp_path / "key", model="claude-old") as (api, client):
        await client.chat.completions.create(model="chat", messages=HELLO, reasoning_effort="high")
        await monitor.probe_all(api.router.backends)
        await client.chat.completions.create(model="chat", messages=HELLO, reasoning_effort="high")
        assert api.metric('ai_backend_up{backend="claude/claude-old"}') == 1
        before, after = claude.bodies
        assert before["output_config"] == {"effort": "high"}
        assert before["thinking"] == {"type": "adaptive"}
        assert "output_config" not in after
        assert "thinking" not in after
        assert after["max_tokens"] == 8192
        assert claude.seen[1]["x-api-key"] == "sk-ant-secret"

        claude.status, claude.failure = 401, error("authentication_error")
        await monitor.probe_all(api.router.backends)
        assert api.metric('ai_backend_up{backend="claude/claude-old"}') == 0


async def test_embeddings_are_not_there(serve: Serve) -> None:
    async with Claude().running() as claude:
        wanted = claude_config(claude)
        embed = wanted.models[0].model_copy(update={"name": "embed", "kind": ModelKind.EMBEDDING})
        async with (
            serve(wanted.model_copy(update={"models": (*wanted.models, embed)})) as api,
            api.sdk() as client,
        ):
            with pytest.raises(openai.InternalServerError, match="has no embeddings"):
                await client.embeddings.create(model="embed", input="x")
