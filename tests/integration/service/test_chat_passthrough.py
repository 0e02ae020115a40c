"""Chat completions are relayed: what a client and an OpenAI-compatible backend say to each other arrives as it is."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.integration.service.conftest import Serve
from tests.integration.service.patience import patient
from tests.integration.service.verbatim import Verbatim

TOOL = {"type": "function", "function": {"name": "add", "strict": True, "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1,  "b":2}'}}
LOGPROB = {"token": "é", "logprob": -0.25, "bytes": [195, 169], "top_logprobs": []}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "x_energy": 0.5}
REQUESTS: dict[str, dict[str, Any]] = {
    "tools": {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "add"}}},
    "one tool at a time": {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
    "JSON schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"a": []}}}
    },
    "JSON": {"response_format": {"type": "json_object"}},
    "vision": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                ],
            }
        ]
    },
    "results of tools": {
        "messages": [
            {"role": "developer", "content": "d"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
        ]
    },
    "logprobs": {"logprobs": True, "top_logprobs": 5, "logit_bias": {"50256": -100}},
    "several answers": {"n": 3, "seed": 7, "stop": ["a", "b"], "frequency_penalty": 0.5},
    "stream options": {"stream_options": {"include_usage": True, "x_vendor": 1}},
    "unknown": {"max_completion_tokens": 5, "x_unknown": [1, {"a": None}], "guided_json": {"type": "object"}},
}
WHOLE = (
    b'{ "id": "c", "choices": [{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":'
    + json.dumps([CALL]).encode()
    + b',"reasoning_content":"hm"},"logprobs":{"content":'
    + json.dumps([LOGPROB]).encode()
    + b'},"finish_reason":"tool_calls","x_choice":1}, {"index":1,"message":{"role":"assistant","content":"\\u00e9"},'
    b'"finish_reason":"stop"}],\n "object":"chat.completion","created":1,"model":"m","service_tier":"flex",'
    b'"x_vendor":{"kept": 1.50},"usage":' + json.dumps(USAGE).encode() + b"}"
)
STREAM = (
    b": a comment\n\n"
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"hm"},"x":1}],"x_vendor": 1.50}\n\n'
    b'data: {"choices":[{"index":1,"delta":{"content":"\\u00e9"},"logprobs":{"content":[]},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add"}}]}}]}\r\n\r\n'
    b'event: x\nid: 7\ndata: {"choices":[{"index":0,"delta":{"refusal":"no"},"finish_reason":"tool_calls"}]}\n\n'
    b'data: {"choices":[],"usage":' + json.dumps(USAGE).encode() + b"}\n\n"
    b"data: [DONE]\n\n"
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS.keys())
async def test_nothing_changes_on_the_way(serve: Serve, fields: dict[str, Any], stream: bool) -> None:
    asked = {"model": "chat", "messages": [{"role": "user", "content": "é"}], "stream_options": {"include_usage": True}}
    asked |= {**fields, "stream": stream}
    async with Verbatim(WHOLE, STREAM).running() as upstream, serve(patient(upstream.url)) as api:
        async with api.http.post(f"{api.url}/v1/chat/completions", json=asked) as answer:
            assert answer.status == 200
            assert await answer.read() == (STREAM if stream else WHOLE)
        assert upstream.asked == [{**asked, "model": "model-m0"}]


ERRORS = [
    (400, b'{"error": {"message": "bad", "type": "invalid_request_error", "param": "tools", "code": null}, "x": 1}'),
    (413, b'{"detail": "too long"}'),
    (422, b'[{"loc": ["body"], "msg": "of another kind"}]'),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("status", "body"), ERRORS, ids=[str(status) for status, _ in ERRORS])
async def test_refusals_of_the_backend_come_through(serve: Serve, status: int, body: bytes, stream: bool) -> None:
    asked = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": stream}
    async with (
        Verbatim(body, status=status).running() as upstream,
        serve(patient(upstream.url)) as api,
        api.http.post(f"{api.url}/v1/chat/completions", json=asked) as answer,
    ):
        assert (answer.status, answer.content_type) == (status, "application/json")
        assert await answer.read() == body


class Sum(BaseModel):
    """What the model shall answer with."""

    total: int


async def test_the_sdk_reads_it_all(serve: Serve) -> None:
    async with (
        Verbatim(WHOLE, STREAM).running() as upstream,
        serve(patient(upstream.url)) as api,
        api.sdk() as client,
    ):
        messages: Any = [{"role": "user", "content": "x"}]
        answer = await client.chat.completions.create(model="chat", messages=messages, tools=[TOOL], logprobs=True)
        calls, logprobs = answer.choices[0].message.tool_calls, answer.choices[0].logprobs
        assert calls is not None
        assert logprobs is not None
        assert calls[0].model_dump() == CALL
        assert logprobs.content is not None
        assert logprobs.content[0].token == "é"
        assert answer.model_extra == {"x_vendor": {"kept": 1.5}}
        assert answer.choices[1].message.content == "é"
        chunks = [c async for c in await client.chat.completions.create(model="chat", messages=messages, stream=True)]
        assert chunks[0].choices[0].delta.model_extra == {"reasoning_content": "hm"}
        assert chunks[0].model_extra == {"x_vendor": 1.5}
        assert [choice.index for chunk in chunks for choice in chunk.choices] == [0, 1, 0, 0]


async def test_the_sdk_parses_what_its_schema_asked_for(serve: Serve) -> None:
    message = {"role": "assistant", "content": '{"total": 3}'}
    whole = json.dumps({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    async with Verbatim(whole).running() as upstream, serve(patient(upstream.url)) as api, api.sdk() as client:
        answer = await client.chat.completions.parse(
            model="chat", messages=[{"role": "user", "content": "1+2"}], response_format=Sum
        )
        assert answer.choices[0].message.parsed == Sum(total=3)
        assert upstream.asked[0]["response_format"]["json_schema"]["schema"]["required"] == ["total"]


async def test_the_sdk_raises_its_own_classes(serve: Serve) -> None:
    async with (
        Verbatim(ERRORS[0][1], status=400).running() as upstream,
        serve(patient(upstream.url)) as api,
        api.sdk() as client,
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "x"}])
        assert (caught.value.param, caught.value.type) == ("tools", "invalid_request_error")
