"""The Mock provider as applications use it in their tests: through the SDK, the same answer each time."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from aiapp_service.config import AuthConfig, ModelConfig, ModelKind, ServiceConfig
from tests.integration.service.conftest import FAST, Serve, mock

HELLO: Any = [{"role": "user", "content": "one two three"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}, "unit": {"type": "string"}},
    "required": ["city", "days"],
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "now"}},
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
]
NAMED: Any = {"type": "function", "function": {"name": "weather"}}
OSLO = {"name": "weather", "arguments": {"city": "Oslo"}}


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[openai.AsyncOpenAI]:
    provider, backend = mock()
    models = (
        ModelConfig(name="chat", backends=(backend,), timeouts=FAST),
        ModelConfig(name="embed", kind=ModelKind.EMBEDDING, backends=(backend,), timeouts=FAST),
    )
    wanted = ServiceConfig(auth=AuthConfig(anonymous=True), providers=(provider,), models=models)
    async with serve(wanted) as api, api.sdk() as sdk:
        yield sdk


async def both(client: openai.AsyncOpenAI, messages: Any = HELLO, **fields: Any) -> Any:
    """The answer, which is the same when asked for again and when streamed."""
    ask = {"model": "chat", "messages": messages, **fields}
    whole = await client.chat.completions.create(**ask)
    assert (await client.chat.completions.create(**ask)).model_dump() == whole.model_dump()
    async with client.chat.completions.stream(**ask, stream_options={"include_usage": True}) as stream:
        final = await stream.get_final_completion()
    assert final.usage == whole.usage
    for one, other in zip(whole.choices, final.choices, strict=True):
        assert other.message.content == one.message.content
        assert other.finish_reason == one.finish_reason
        assert calls_of(other) == calls_of(one)
        likely = [c.logprobs.content if c.logprobs else None for c in (one, other)]
        assert likely[0] == likely[1]
    return whole


def calls_of(choice: Any) -> list[tuple[str, str, Any]]:
    calls = choice.message.tool_calls or []
    return [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        ({"tool_choice": NAMED}, [("weather", {"city": "mock", "days": 1})]),
        ({"tool_choice": "required"}, [("now", {})]),
        ({"extra_body": {"x_mock": {"tool_call": OSLO}}}, [("weather", {"city": "Oslo"})]),
        (
            {"extra_body": {"x_mock": {"tool_call": [OSLO, {"name": "now"}]}}},
            [("weather", {"city": "Oslo"}), ("now", {})],
        ),
    ],
)
async def test_tools(client: openai.AsyncOpenAI, fields: dict[str, Any], called: list[Any]) -> None:
    choice = (await both(client, tools=TOOLS, **fields)).choices[0]
    calls = calls_of(choice)
    assert [(name, arguments) for _, name, arguments in calls] == called
    assert len({id_ for id_, _, _ in calls}) == len(calls)
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None


@pytest.mark.parametrize("choice", ["auto", "none"])
async def test_no_tool_is_called_unasked(client: openai.AsyncOpenAI, choice: Any) -> None:
    assert (await both(client, tools=TOOLS, tool_choice=choice)).choices[0].message.content == "one two three"


async def test_after_the_results_of_tools_it_answers_in_words(client: openai.AsyncOpenAI) -> None:
    extra = {"x_mock": {"tool_call": OSLO}}
    first = await client.chat.completions.create(model="chat", messages=HELLO, tools=TOOLS, extra_body=extra)
    said = first.choices[0].message
    calls: Any = said.tool_calls
    messages = [*HELLO, said.model_dump(), {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"}]
    answer = await both(client, messages, tools=TOOLS, extra_body=extra)
    assert answer.choices[0].message.content == "one two three"
    assert answer.choices[0].finish_reason == "stop"
    again = await both(client, [*messages, *HELLO], tools=TOOLS, extra_body=extra)
    assert calls_of(again.choices[0])[0][0] != calls[0].id, "each call of a conversation is another one"


class Weather(BaseModel):
    city: str = Field(min_length=6)
    sky: Literal["rain", "sun"]
    degrees: list[int] = Field(min_length=2)
    wind: float | None


async def test_answer_that_follows_a_schema(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(model="chat", messages=HELLO, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="mockkk", sky="rain", degrees=[0, 0], wind=0)


async def test_answer_in_json(client: openai.AsyncOpenAI) -> None:
    answer = await both(client, response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content) == {"text": "one two three"}


@pytest.mark.parametrize(
    ("fields", "contents", "finish", "tokens"),
    [
        ({}, ["one two three"], "stop", 3),
        ({"n": 2}, ["one two three", "two three one"], "stop", 6),
        ({"stop": " three"}, ["one two"], "stop", 2),
        ({"stop": ["nine", "two"]}, ["one "], "stop", 2),
        ({"max_tokens": 2}, ["one two"], "length", 2),
        ({"max_completion_tokens": 3}, ["one two three"], "stop", 3),
        ({"extra_body": {"x_mock": {"tokens": 4}}}, ["one two three one"], "stop", 4),
        ({"extra_body": {"x_mock": {"finish_reason": "function_call"}}}, ["one two three"], "function_call", 3),
        ({"extra_body": {"x_mock": "nonsense", "stop": 5, "n": "2"}}, ["one two three"], "stop", 3),
    ],
)
async def test_words(client: openai.AsyncOpenAI, fields: Any, contents: list[str], finish: str, tokens: int) -> None:
    answer = await both(client, **fields) if finish != "length" else await whole(client, **fields)
    assert [choice.message.content for choice in answer.choices] == contents
    assert {choice.finish_reason for choice in answer.choices} == {finish}
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, tokens)


async def whole(client: openai.AsyncOpenAI, **fields: Any) -> Any:
    """The SDK's helper for streams refuses answers that were cut."""
    return await client.chat.completions.create(model="chat", messages=HELLO, **fields)


async def test_usage_tells_what_it_is_told(client: openai.AsyncOpenAI) -> None:
    answer = await both(client, extra_body={"x_mock": {"cached_tokens": 2, "reasoning_tokens": 20}})
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20
    assert answer.usage.completion_tokens == 23


async def test_logprobs(client: openai.AsyncOpenAI) -> None:
    content = (await both(client, logprobs=True, top_logprobs=2)).choices[0].logprobs.content
    assert [token.token for token in content] == ["one", " two", " three"]
    assert all(token.top_logprobs[0].logprob == token.logprob < 0 for token in content)
    assert {len(token.top_logprobs) for token in content} == {2}


async def test_it_fails_as_often_as_told_and_then_answers(client: openai.AsyncOpenAI) -> None:
    async def ask(extra: dict[str, Any], text: str = "Hello", *, streamed: bool = False) -> int:
        messages: Any = [{"role": "user", "content": text}]
        try:
            await client.chat.completions.create(model="chat", messages=messages, stream=streamed, extra_body=extra)
        except openai.APIStatusError as error:
            return error.status_code
        return 200

    for streamed in (False, True):
        # Not one that the router tries again by itself.
        some = {"x_mock": {"status": [401, 401]}}
        assert [await ask(some, streamed=streamed) for _ in range(4)] == [502, 502, 200, 200]
    assert await ask({"x_mock": {"status": [401]}}, "Another") == 502, "each request counts for itself"
    assert [await ask({"x_mock": {"status": 503}}) for _ in range(3)] == [502] * 3


async def test_it_says_when_to_come_back(client: openai.AsyncOpenAI) -> None:
    extra = {"x_mock": {"status": 429, "retry_after": 2}}
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="chat", messages=HELLO, extra_body=extra)
    assert caught.value.response.headers["retry-after"] == "2"


async def test_a_stream_of_calls_breaks_off_as_told(client: openai.AsyncOpenAI) -> None:
    extra = {"x_mock": {"tool_call": OSLO, "drop_after": 2}}
    stream = await client.chat.completions.create(
        model="chat", messages=HELLO, tools=TOOLS, stream=True, extra_body=extra
    )
    with pytest.raises(openai.APIError, match="not complete"):
        async for _ in stream:
            pass


async def test_embeddings_are_the_same_for_the_same_text(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="embed", input=["a", "b", "a"], dimensions=8)
    numbers = await client.embeddings.create(model="embed", input="a", dimensions=8, encoding_format="float")
    first, second, third = (item.embedding for item in answer.data)
    assert first == third != second
    assert numbers.data[0].embedding == pytest.approx(first)
    assert sum(value * value for value in first) == pytest.approx(1)
