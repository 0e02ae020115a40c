"""Google behind OpenAI's API: what an application with the openai SDK sees, and what Google is asked."""

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
from aiapp_service.llm import fetching, monitor
from aiapp_service.llm.google.upstream import GoogleUpstream
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.llm.upstream import Ask, Endpoint
from tests.integration.service.conftest import FAST, Serve, Service, config
from tests.integration.service.google_server import TEXT, THOUGHT, TIME, WEATHER, Gemini, error, invalid_key
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until

HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}}}
]
PRICE = PriceConfig(input_per_1m="3", output_per_1m="15", cached_input_per_1m="0.3")  # type: ignore[arg-type]
MODEL = "gemini-3.1-pro"


def gemini_config(
    gemini: Gemini, *urls: str, key_file: Path | None = None, model: str = MODEL, price: PriceConfig | None = PRICE
) -> ServiceConfig:
    """Models `chat`, Google first and then an OpenAI-compatible backend for each URL, and `embed`."""
    rest = config(*urls)
    provider = ProviderConfig(name="gemini", kind=ProviderKind.GOOGLE, base_url=gemini.url, api_key_file=key_file)
    first = BackendConfig(provider="gemini", model=model, price=price)
    models = (
        ModelConfig(name="chat", backends=(first, *rest.models[0].backends), timeouts=FAST),
        ModelConfig(name="embed", kind=ModelKind.EMBEDDING, backends=(first,), timeouts=FAST),
    )
    return ServiceConfig(**{**dict(rest), "providers": (provider,), "models": models})


@asynccontextmanager
async def served(serve: Serve, gemini: Gemini, **fields: Any) -> AsyncIterator[tuple[Service, openai.AsyncOpenAI]]:
    async with gemini.running(), serve(gemini_config(gemini, **fields)) as api, api.sdk() as client:
        yield api, client


async def test_answer_and_its_usage_and_cost(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("AIza-secret\n")
    gemini = Gemini(parts=(THOUGHT, TEXT))
    async with served(serve, gemini, key_file=tmp_path / "key") as (api, client):
        answer = await client.chat.completions.create(
            model="chat",
            messages=[{"role": "system", "content": "Be brief."}, *HELLO],
            temperature=0.7,
            stop="\n\nEnd",
            reasoning_effort="low",
            extra_body={"x_vendor": 1},
        )
        assert answer.model == MODEL
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
    assert gemini.paths == [f"/v1beta/models/{MODEL}:generateContent"]
    assert gemini.bodies == [
        {
            "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {
                "temperature": 0.7,
                "stopSequences": ["\n\nEnd"],
                "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
            },
        }
    ]
    assert gemini.seen[0]["x-goog-api-key"] == "AIza-secret"
    assert "authorization" not in gemini.seen[0]


async def test_stream_word_by_word_with_usage(serve: Serve) -> None:
    async with served(serve, gemini := Gemini(parts=(THOUGHT, TEXT))) as (api, client):
        stream = await client.chat.completions.create(
            model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        words = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
        assert words == ["one", " two", " three"]
        assert {chunk.model for chunk in chunks} == {MODEL}
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage is not None
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (20, 9)
        await until(
            "tokens counted",
            lambda: api.metric('ai_tokens_total{endpoint="chat/completions",model="chat",type="reasoning"}') == 4,
        )
    assert gemini.paths == [f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"]


async def test_usage_nobody_asked_for_is_counted_and_not_shown(serve: Serve) -> None:
    async with served(serve, Gemini()) as (api, client):
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        assert [chunk for chunk in [c async for c in stream] if chunk.usage or not chunk.choices] == []
        counted = 'ai_tokens_total{endpoint="chat/completions",model="chat",type="output"}'
        await until("tokens counted", lambda: api.metric(counted) == 9)


@pytest.mark.parametrize("streamed", [False, True])
async def test_several_tools_are_called_and_their_results_sent_back(serve: Serve, streamed: bool) -> None:
    gemini = Gemini(parts=(TEXT, WEATHER, TIME))
    async with served(serve, gemini) as (_, client):
        if streamed:
            async with client.chat.completions.stream(model="chat", messages=HELLO, tools=TOOLS) as stream:
                answer: Any = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.create(model="chat", messages=HELLO, tools=TOOLS)
        said = answer.choices[0].message
        assert answer.choices[0].finish_reason == "tool_calls"
        assert said.content == "one two three"
        called = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in said.tool_calls]
        assert called == [("fc-1", "weather", {"city": "Köln", "days": 2}), ("fc-2", "now", {})]
        calls = [call.model_dump(exclude={"index": True, "function": {"parsed_arguments"}}) for call in said.tool_calls]
        results: Any = [
            {"role": "assistant", "content": said.content, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "fc-2", "content": "noon"},
            {"role": "tool", "tool_call_id": "fc-1", "content": '{"sky": "rain"}'},
        ]
        gemini.parts = (TEXT,)
        await client.chat.completions.create(model="chat", messages=[*HELLO, *results], tools=TOOLS)
    sent = gemini.bodies[1]["contents"]
    assert [content["role"] for content in sent] == ["user", "model", "user"]
    assert sent[1]["parts"] == [TEXT, WEATHER, TIME], "with its signature"
    assert [part["functionResponse"] for part in sent[2]["parts"]] == [
        {"id": "fc-2", "name": "now", "response": {"output": "noon"}},
        {"id": "fc-1", "name": "weather", "response": {"sky": "rain"}},
    ]


class Place(BaseModel):
    city: str = Field(min_length=1)


async def test_answer_that_follows_a_schema(serve: Serve) -> None:
    gemini = Gemini(parts=({"text": '{"city": "Köln"}'},))
    async with served(serve, gemini) as (_, client):
        answer = await client.chat.completions.parse(model="chat", messages=HELLO, response_format=Place)
    assert answer.choices[0].message.parsed == Place(city="Köln")
    sent = gemini.bodies[0]["generationConfig"]
    assert sent["responseMimeType"] == "application/json"
    assert "minLength" not in sent["responseJsonSchema"]["properties"]["city"], "the API refuses what it does not know"
    assert "minLength" in sent["responseJsonSchema"]["properties"]["city"]["description"]


def picture(url: str) -> Any:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


async def test_images_go_along_and_are_not_fetched_unless_allowed(serve: Serve) -> None:
    async with served(serve, gemini := Gemini()) as (_, client):
        await client.chat.completions.create(model="chat", messages=picture("data:image/png;base64,AAAA"))
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="chat", messages=picture("https://example.com/a.png"))
    assert caught.value.param == "messages[0].content[0].image_url.url"
    assert "spec.api.fetchHosts" in caught.value.message
    assert len(gemini.bodies) == 1
    assert gemini.bodies[0]["contents"][0]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]


async def test_images_are_fetched_once_each_by_what_may() -> None:
    fetched: list[str] = []

    async def fetch(url: str) -> tuple[str, bytes]:
        fetched.append(url)
        if url.endswith("gone"):
            raise fetching.CannotFetch("example.com answered 404")
        return "image/jpeg", url[-1:].encode()

    messages = [*picture("https://example.com/a"), *picture("https://example.com/b"), *picture("https://example.com/a")]
    async with Gemini().running() as gemini, client_session() as session:
        upstream = GoogleUpstream(session, gemini.url, None, fetch)
        async with upstream.send(Ask(Endpoint.CHAT, {"model": "m", "messages": messages}, 1.0)) as reply:
            assert reply.status == 200
        assert sorted(fetched) == ["https://example.com/a", "https://example.com/b"]
        parts = gemini.bodies[0]["contents"][0]["parts"]
        assert parts == [{"inlineData": {"mimeType": "image/jpeg", "data": data}} for data in ("YQ==", "Yg==", "YQ==")]
        refused = {"model": "m", "messages": picture("https://example.com/gone")}
        async with upstream.send(Ask(Endpoint.CHAT, refused, 1.0)) as reply:
            assert reply.status == 400
            assert b"answered 404" in b"".join([chunk async for chunk in reply.chunks()])
        many = [message for n in range(21) for message in picture(f"https://example.com/{n}")]
        async with upstream.send(Ask(Endpoint.CHAT, {"model": "m", "messages": many}, 1.0)) as reply:
            assert reply.status == 400
        assert len(gemini.bodies) == 1
        assert len(fetched) == 3


FAILURES = [
    (400, invalid_key(), "refused_key"),
    (403, error(403, "PERMISSION_DENIED"), "refused_key"),
    (404, error(404, "NOT_FOUND", "models/x is not found for API version v1beta"), "model_missing"),
    (429, error(429, "RESOURCE_EXHAUSTED"), "rate_limited"),
    (500, error(500, "INTERNAL"), "server_error"),
    (503, error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "server_error"),
    (504, error(504, "DEADLINE_EXCEEDED"), "timeout"),
]


@pytest.mark.parametrize(("status", "failure", "reason"), FAILURES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_next_backend_when_it_fails(serve: Serve, status, failure, reason, streamed) -> None:
    gemini = Gemini(status=status, failure=failure)
    async with (
        gemini.running(),
        Upstream().running() as second,
        serve(gemini_config(gemini, second.url)) as api,
        api.sdk() as client,
    ):
        answer = await client.chat.completions.create(model="chat", messages=HELLO, stream=streamed)
        if streamed:
            said = "".join([c.choices[0].delta.content or "" async for c in answer])
            assert said == "".join(WORDS)
        sample = f'ai_fallbacks_total{{from="gemini/{MODEL}",model="chat",reason="{reason}",to="m0/model-m0"}}'
        assert api.metric(sample) == 1


async def test_out_of_quota_says_when_to_come_back(serve: Serve) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "16.5s"}
    gemini = Gemini(status=429, failure=error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", retry))
    async with served(serve, gemini) as (_, client):
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="chat", messages=HELLO)
        assert caught.value.response.headers["retry-after"] == "17"


@pytest.mark.parametrize("streamed", [False, True])
async def test_clients_mistake_is_told_in_its_own_words(serve: Serve, streamed: bool) -> None:
    message = "max_output_tokens must be in the supported range from 1 to 65537"
    gemini = Gemini(status=400, failure=error(400, "INVALID_ARGUMENT", message))
    async with served(serve, gemini) as (_, client):
        with pytest.raises(openai.BadRequestError, match="supported range") as caught:
            await client.chat.completions.create(model="chat", messages=HELLO, stream=streamed)
        assert caught.value.type == "invalid_argument"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_blocked_prompt_is_answered_as_filtered(serve: Serve, streamed: bool) -> None:
    async with served(serve, Gemini(blocked="PROHIBITED_CONTENT")) as (_, client):
        answer: Any = await client.chat.completions.create(model="chat", messages=HELLO, stream=streamed)
        if streamed:
            choices = [chunk.choices[0] async for chunk in answer]
            refusal, finish = choices[0].delta.refusal, choices[-1].finish_reason
        else:
            refusal, finish = answer.choices[0].message.refusal, answer.choices[0].finish_reason
    assert "PROHIBITED_CONTENT" in refusal
    assert finish == "content_filter"


@pytest.mark.parametrize(
    "fault",
    [{"break_after": 2}, {"stop_after": 2}, {"error_after": 2}, {"finish": None}, {"finish": "MALFORMED_RESPONSE"}],
)
async def test_what_breaks_off_is_no_complete_answer(serve: Serve, fault: dict[str, Any]) -> None:
    async with served(serve, Gemini(**fault, failure=error(503, "UNAVAILABLE"))) as (api, client):
        words: list[str] = []
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)

        async def read() -> None:
            async for chunk in stream:
                words.append(chunk.choices[0].delta.content or "")  # noqa: PERF401  # what came before the end counts

        with pytest.raises(openai.APIError, match="not complete"):
            await read()
        assert "".join(words).startswith("one two")
        await until("counted", lambda: api.metric('ai_streams_truncated_total{model="chat"}') == 1)


@pytest.mark.parametrize(
    "fault",
    [
        {"break_after": 0},
        {"stop_after": 0},
        {"error_after": 0},
        {"parts": ({"text": ""},), "finish": "MALFORMED_FUNCTION_CALL"},
    ],
)
async def test_next_backend_when_it_fails_before_the_first_word(serve: Serve, fault: dict[str, Any]) -> None:
    gemini = Gemini(**fault, failure=error(503, "UNAVAILABLE"))
    async with (
        gemini.running(),
        Upstream().running() as second,
        serve(gemini_config(gemini, second.url)) as api,
        api.sdk() as client,
    ):
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        assert {chunk.model async for chunk in stream} == {"model-m0"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_client_that_leaves_before_the_first_word_stops_it(serve: Serve, streamed: bool) -> None:
    gemini = Gemini(before_headers=60)
    patient = FAST.model_copy(update={"first_token": 50.0, "total": 100.0})
    async with gemini.running():
        wanted = gemini_config(gemini)
        models = (wanted.models[0].model_copy(update={"timeouts": patient}),)
        async with serve(wanted.model_copy(update={"models": models})) as api, api.sdk() as client:
            create = client.chat.completions.create
            request = asyncio.create_task(create(model="chat", messages=HELLO, stream=streamed))
            async with asyncio.timeout(10):
                await gemini.asked.wait()
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
                await gemini.left.wait()
            await until("no request under way", lambda: api.metric("ai_active_requests") == 0)


async def test_client_that_leaves_in_between_stops_it(serve: Serve) -> None:
    gemini = Gemini(between=0.02, repeat=1000)
    async with served(serve, gemini) as (api, client):
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        async with asyncio.timeout(10):
            await gemini.left.wait()
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)


async def test_probe_asks_with_the_key_and_learns_which_models_think(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("AIza-secret")
    gemini = Gemini(models=({"name": "models/gemma", "outputTokenLimit": 8192}, {"name": "models/x", "thinking": True}))
    async with served(serve, gemini, key_file=tmp_path / "key", model="gemma") as (api, client):
        await client.chat.completions.create(model="chat", messages=HELLO, reasoning_effort="high")
        await monitor.probe_all(api.router.backends)
        await client.chat.completions.create(model="chat", messages=HELLO, reasoning_effort="high")
        assert api.metric('ai_backend_up{backend="gemini/gemma"}') == 1
        assert "thinkingConfig" in gemini.bodies[0]["generationConfig"]
        assert "generationConfig" not in gemini.bodies[1]
        assert gemini.seen[1]["x-goog-api-key"] == "AIza-secret"

        gemini.status, gemini.failure = 400, invalid_key()
        await monitor.probe_all(api.router.backends)
        assert api.metric('ai_backend_up{backend="gemini/gemma"}') == 0


async def test_embeddings(serve: Serve) -> None:
    texts = ["x" * (n % 7 + 1) for n in range(150)]
    async with served(serve, gemini := Gemini(embedding_usage={"promptTokenCount": 8})) as (api, client):
        answer = await client.embeddings.create(model="embed", input=texts)
        assert [embedding.embedding[0] for embedding in answer.data] == [len(text) for text in texts]
        assert answer.usage.prompt_tokens == 16
        short = await client.embeddings.create(model="embed", input="xx", dimensions=5, encoding_format="float")
        assert short.data[0].embedding == pytest.approx([2 / 8**0.5, *[1 / 8**0.5] * 4]), "of unit length"
        assert api.metric('ai_tokens_total{endpoint="embeddings",model="embed",type="input"}') == 24
    assert gemini.paths == [f"/v1beta/models/{MODEL}:batchEmbedContents"] * 3
    assert [len(body["requests"]) for body in gemini.bodies] == [100, 50, 1]
    assert gemini.bodies[2]["requests"] == [
        {"model": f"models/{MODEL}", "content": {"parts": [{"text": "xx"}]}, "outputDimensionality": 5}
    ]


async def test_embeddings_whose_usage_is_not_told_are_not_free(serve: Serve) -> None:
    async with served(serve, Gemini()) as (_, client):
        answer: Any = await client.embeddings.create(model="embed", input="x")
        assert len(answer.data[0].embedding) == 4
        assert answer.usage is None, "a usage of 0 would cost nothing"


async def test_embeddings_that_fail_or_cannot_be_asked_for(serve: Serve) -> None:
    async with served(serve, gemini := Gemini()) as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.embeddings.create(model="embed", input=[1, 2, 3])
        assert caught.value.param == "input"
        assert gemini.bodies == []
        gemini.status, gemini.failure = 429, error(429, "RESOURCE_EXHAUSTED")
        with pytest.raises(openai.RateLimitError):
            await client.embeddings.create(model="embed", input="x")
