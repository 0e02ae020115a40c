"""The Responses API as an application sees it that uses OpenAI's SDK."""

import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

from tests.integration.service.conftest import Serve, Service
from tests.integration.service.patience import patient
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.verbatim import Verbatim
from tests.integration.service.waiting import until

SAID = " ".join(WORDS)
TOOL: Any = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


def completion(message: dict[str, Any], finish: str = "stop") -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"id": "c", "choices": [choice]}).encode()


async def post(api: Service, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with api.http.post(f"{api.url}/v1/responses", json=body) as answer:
        return answer.status, await answer.json()


async def test_whole_answer_is_counted_as_a_response(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url)) as api, api.sdk() as client:
        answer = await client.responses.create(
            model="chat", input="Hello", instructions="Be brief.", metadata={"a": "b"}, extra_body={"x_vendor": 1}
        )
        assert (answer.status, answer.output_text, answer.model) == ("completed", SAID, "chat")
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 4, 11)
        assert (answer.metadata, answer.instructions) == ({"a": "b"}, "Be brief.")
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
        assert upstream.bodies == [{"model": "model-m0", "messages": messages, "x_vendor": 1}]
        assert api.metric('ai_requests_total{code="200",endpoint="responses",model="chat"}') == 1
        assert api.metric('ai_tokens_total{endpoint="responses",model="chat",type="output"}') == 4
        assert api.metric("ai_active_requests") == 0


async def test_stream_comes_event_by_event(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url)) as api, api.sdk() as client:
        async with client.responses.stream(model="chat", input="Hello") as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert [event.delta for event in events if event.type == "response.output_text.delta"] == list(WORDS)
        assert events[0].type == "response.created"
        assert events[-1].type == "response.completed"
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert final.output_text == "".join(WORDS)
        assert final.usage is not None
        assert final.usage.total_tokens == 11
        await until("over", lambda: api.metric("ai_active_requests") == 0)
        assert api.metric('ai_ttft_seconds_count{model="chat"}') == 1


async def test_function_is_called_and_its_result_sent_back(serve: Serve) -> None:
    whole = completion({"content": None, "tool_calls": [CALL]}, "tool_calls")
    async with Verbatim(whole).running() as upstream, serve(patient(upstream.url)) as api, api.sdk() as client:
        first = await client.responses.create(model="chat", input="1+2?", tools=[TOOL], tool_choice="required")
        call = first.output[0]
        assert isinstance(call, ResponseFunctionToolCall)
        assert (call.name, call.arguments, call.call_id) == ("add", '{"a":1}', "c1")
        upstream.whole = completion({"content": "3"})
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "3"}
        second = await client.responses.create(model="chat", input=[result], previous_response_id=first.id)
        assert second.output_text == "3"
        assert upstream.asked[1]["messages"] == [
            {"role": "user", "content": "1+2?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
        ]


class Sum(BaseModel):
    """What the model shall answer with."""

    total: int


async def test_parses_what_its_schema_asked_for(serve: Serve) -> None:
    whole = completion({"content": '{"total": 3}', "reasoning_content": "hm"})
    async with Verbatim(whole).running() as upstream, serve(patient(upstream.url)) as api, api.sdk() as client:
        answer = await client.responses.parse(model="chat", input="1+2?", text_format=Sum)
        assert answer.output_parsed == Sum(total=3)
        assert answer.output[0].type == "reasoning"
        assert upstream.asked[0]["response_format"]["json_schema"]["name"] == "Sum"


@pytest.mark.parametrize(
    "fault",
    [
        {"break_after": 2},
        {"done": False},
        {"raw": (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: {nonsense}\n\n", b"data: [DONE]\n\n")},
    ],
    ids=["breaks", "no DONE", "nonsense"],
)
async def test_what_breaks_off_has_failed_and_is_not_kept(serve: Serve, fault: dict[str, Any]) -> None:
    async with Upstream(**fault).running() as upstream, serve(patient(upstream.url)) as api, api.sdk() as client:
        events = [event async for event in await client.responses.create(model="chat", input="Hello", stream=True)]
        last = events[-1]
        assert last.type == "response.failed"
        assert last.response.status == "failed"
        assert last.response.error is not None
        assert "not complete" in last.response.error.message
        assert "response.completed" not in [event.type for event in events]
        await until("counted", lambda: api.metric('ai_streams_truncated_total{model="chat"}') == 1)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(last.response.id)


async def test_client_that_leaves_stops_the_backend(serve: Serve) -> None:
    upstream = Upstream(between=0.05, words=("x",) * 2000)
    async with upstream.running(), serve(patient(upstream.url)) as api:
        async with aiohttp.ClientSession() as leaving:
            body = {"model": "chat", "input": "Hello", "stream": True}
            answer = await leaving.post(f"{api.url}/v1/responses", json=body)
            await answer.content.readany()
            answer.close()
        await until("the backend notices", upstream.left.is_set)
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)
        used = 'ai_tokens_total{endpoint="responses",model="chat",type="output"}'
        await until("what was generated is billed", lambda: api.metric(used) > 0)


async def test_many_at_once_do_not_mix(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url)) as api, api.sdk() as client:
        answers = await asyncio.gather(*(client.responses.create(model="chat", input=str(n)) for n in range(20)))
        assert len({answer.id for answer in answers}) == 20
        for number, answer in enumerate(answers):
            items = (await client.responses.input_items.list(answer.id)).data
            assert [item.content[0].text for item in items if item.type == "message"] == [str(number)]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": "x"}, 400, "model"),
        ({"model": "nobody", "input": "x"}, 404, "model"),
        ({"model": "embed", "input": "x"}, 400, "model"),
        ({"model": "chat"}, 400, "input"),
        ({"model": "chat", "input": "x", "stream": 1}, 400, "stream"),
        ({"model": "chat", "input": "x", "background": True}, 400, "background"),
        ({"model": "chat", "input": "x", "tools": [{"type": "web_search"}]}, 400, "tools[0].type"),
    ],
)
async def test_wrong_requests_name_the_field(serve: Serve, body: dict[str, Any], status: int, param: str) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url)) as api:
        answered, document = await post(api, body)
        assert (answered, document["error"]["param"]) == (status, param)
        assert upstream.bodies == []


async def test_errors_of_backends(serve: Serve) -> None:
    refusal = b'{"error": {"message": "bad", "type": "invalid_request_error", "param": "temperature", "code": null}}'
    async with Verbatim(refusal, status=400).running() as upstream, serve(patient(upstream.url)) as api:
        for stream in (False, True):
            body = {"model": "chat", "input": "x", "stream": stream}
            async with api.http.post(f"{api.url}/v1/responses", json=body) as answer:
                assert (answer.status, await answer.read()) == (400, refusal)
        upstream.status = 500
        assert (await post(api, {"model": "chat", "input": "x"}))[0] == 502
        upstream.status, upstream.whole = 200, b"[]"
        assert (await post(api, {"model": "chat", "input": "x"}))[0] == 502
