"""A chat's answer as a response: whole and streamed say the same, in the shapes that OpenAI's own SDK knows."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from aiapp_service.http.errors import ApiError
from aiapp_service.llm.usage import Usage
from aiapp_service.responses import answer
from aiapp_service.responses.request import Given
from aiapp_service.responses.stream import ResponseStream

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
DOCUMENT = Given.of({"model": "chat", "input": "x"}).asked({}).document
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
LOGPROB = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}


def call(number: int, arguments: str = "{}") -> dict[str, Any]:
    return {"id": f"c{number}", "type": "function", "function": {"name": f"f{number}", "arguments": arguments}}


def whole(message: dict[str, Any], finish: str = "stop", **choice: Any) -> dict[str, Any]:
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}]
    return answer.respond(DOCUMENT, json.dumps({"choices": choices, "usage": USAGE}).encode())


def chunk(delta: dict[str, Any], **choice: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, **choice}]}).encode() + b"\n\n"


def parsed(text: bytes) -> list[dict[str, Any]]:
    events = []
    for event in text.decode().split("\n\n")[:-1]:
        head, _, data = event.partition("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert head == f"event: {events[-1]['type']}"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def streamed(*chunks: bytes, usage: Usage | None = None) -> list[dict[str, Any]]:
    stream = ResponseStream(DOCUMENT)
    text = b"".join([stream.feed(some) for some in (*chunks, b"data: [DONE]\n\n")])
    return parsed(text + stream.finish(usage) + stream.last())


def known_to_the_sdk(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for event in events:
        EVENT.validate_python(event)
    return events


def checked(*chunks: bytes, usage: Usage | None = None) -> list[dict[str, Any]]:
    return known_to_the_sdk(streamed(*chunks, usage=usage))


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def without_times(response: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in response.items() if not name.endswith("_at")}


BEGIN = ["created", "in_progress"]


def test_text() -> None:
    events = checked(chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk({"content": "b"}))
    assert kinds(events) == [
        *BEGIN,
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[6]["text"] == "ab"
    assert events[-1]["response"]["output"] == whole({"content": "ab"})["output"] == [events[-2]["item"]]


def test_thoughts_text_and_calls_in_turns() -> None:
    calls = [{"index": n, **call(n, "")} for n in (0, 1)]
    more = [{"index": n, "function": {"arguments": part}} for n, part in ((0, "{"), (1, '{"b'), (0, "}"), (1, '":1}'))]
    events = checked(
        chunk({"reasoning_content": "hm"}),
        chunk({"reasoning_content": "m", "content": "wait"}),
        *(chunk({"tool_calls": [piece]}) for piece in (*calls, *more)),
        chunk({}, finish_reason="tool_calls"),
    )
    assert kinds(events) == [
        *BEGIN,
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "output_item.added",
        *["function_call_arguments.delta"] * 4,
        *["function_call_arguments.done", "output_item.done"] * 2,
        "completed",
    ]
    message = {"reasoning_content": "hmm", "content": "wait", "tool_calls": [call(0), call(1, '{"b":1}')]}
    assert events[-1]["response"]["output"] == whole(message, "tool_calls")["output"]


def test_calls_that_all_have_the_same_index() -> None:
    events = checked(*(chunk({"tool_calls": [{"index": 0, **call(n)}]}) for n in range(3)))
    assert events[-1]["response"]["output"] == whole({"tool_calls": [call(n) for n in range(3)]})["output"]


def test_refusal_after_text() -> None:
    events = checked(chunk({"content": "Well"}), chunk({"refusal": "I c"}), chunk({"refusal": "an't"}))
    assert kinds(events)[4:-3] == [
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
    ]
    assert events[-1]["response"]["output"] == whole({"content": "Well", "refusal": "I can't"})["output"]


def test_logprobs() -> None:
    logprobs = {"content": [LOGPROB]}
    events = checked(chunk({"content": "a"}, logprobs=logprobs), chunk({"content": "a"}, logprobs=logprobs))
    assert events[4]["logprobs"] == [LOGPROB]
    expected = whole({"content": "aa"}, logprobs={"content": [LOGPROB, LOGPROB]})["output"]
    assert events[-1]["response"]["output"] == expected
    assert expected[0]["content"][0]["logprobs"] == [LOGPROB, LOGPROB]


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_stopped_short_is_incomplete(finish: str, reason: str) -> None:
    events = checked(chunk({"content": "a", "tool_calls": [call(1)]}), chunk({}, finish_reason=finish))
    response = events[-1]["response"]
    assert events[-1]["type"] == "response.incomplete"
    assert response["incomplete_details"] == {"reason": reason}
    assert response["status"] == "incomplete"
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["output"] == whole({"content": "a", "tool_calls": [call(1)]}, finish)["output"]


def test_usage_of_a_chunk_or_else_what_is_known_of_the_call() -> None:
    last = b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\n"
    expected = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }
    assert checked(chunk({"content": "a"}), last)[-1]["response"]["usage"] == expected
    known = Usage(input=7, output=5, cached=3, reasoning=2)
    assert checked(chunk({"content": "a"}), usage=known)[-1]["response"]["usage"] == expected
    assert checked(chunk({"content": "a"}))[-1]["response"]["usage"] is None
    assert whole({"content": "a"})["usage"] == expected


def test_nothing_said() -> None:
    assert kinds(checked()) == [*BEGIN, "completed"]
    assert whole({"content": None})["output"] == []


def test_whole_is_what_the_sdk_knows() -> None:
    Response.model_validate(whole({"reasoning": "hm", "content": "a", "refusal": "b", "tool_calls": [call(1)]}))


def test_broken_has_what_was_said_and_never_completed() -> None:
    stream = ResponseStream(DOCUMENT)
    text = stream.feed(chunk({"content": "a"})) + stream.failed(ApiError(502, "gone", code="stream_truncated"))
    events = known_to_the_sdk(parsed(text))
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "gone"}
    assert "response.completed" not in [event["type"] for event in events]


def test_broken_before_anything() -> None:
    events = known_to_the_sdk(parsed(ResponseStream(DOCUMENT).failed(ApiError(429, "later"))))
    assert kinds(events) == [*BEGIN, "failed"]
    assert events[-1]["response"]["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"choices": [1]}', b'{"choices": [{"delta": {"tool_calls": [3]}}]}'])
def test_nonsense_in_a_stream_ends_it(data: bytes) -> None:
    with pytest.raises(ApiError, match="not complete"):
        ResponseStream(DOCUMENT).feed(b"data: " + data + b"\n\n")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}'])
def test_nonsense_in_place_of_an_answer(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        answer.respond(DOCUMENT, body)
    assert caught.value.status == 502


WORDS = st.lists(st.text(min_size=1, max_size=4), max_size=4)


@settings(max_examples=50, deadline=None)
@given(WORDS, WORDS, st.lists(WORDS, max_size=3), st.sampled_from(["stop", "tool_calls", "length"]))
def test_streamed_and_whole_are_the_same(
    thoughts: list[str], words: list[str], calls: list[list[str]], finish: str
) -> None:
    chunks = [chunk({"reasoning_content": text}) for text in thoughts] + [chunk({"content": text}) for text in words]
    for number, arguments in enumerate(calls):
        chunks.append(chunk({"tool_calls": [{"index": number, **call(number, "")}]}))
        chunks += [chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}) for piece in arguments]
    message = {
        "reasoning_content": "".join(thoughts),
        "content": "".join(words),
        "tool_calls": [call(number, "".join(arguments)) for number, arguments in enumerate(calls)],
    }
    known = Usage(input=7, output=5, cached=3, reasoning=2)
    events = streamed(*chunks, chunk({}, finish_reason=finish), usage=known)
    assert without_times(events[-1]["response"]) == without_times(whole(message, finish))
