"""What Gemini answers, whole and wherever a stream is cut, in OpenAI's words."""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiapp_service.llm.google.answer import completion_of, usage_of_answer
from aiapp_service.llm.google.errors import as_openai, failure_of
from aiapp_service.llm.google.stream import chat_stream
from aiapp_service.llm.sse import Splitter, data_of
from aiapp_service.llm.upstream import BackendError, Reason

_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CALL = {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "S"}
TOOL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
SIGNED = {"extra_content": {"google": {"thought_signature": "S"}}}


def candidate(*parts: Any, finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    told = {"finishReason": finish} if finish else {}
    return {"content": {"role": "model", "parts": list(parts)}, **told, **more}


@pytest.mark.parametrize(
    ("given", "said", "finish"),
    [
        (candidate({"text": "a"}, {"text": "b"}), {"content": "ab"}, "stop"),
        (candidate({"text": "t", "thought": True}, {"text": "a"}), {"content": "a", "reasoning_content": "t"}, "stop"),
        (candidate({"text": "a", "thoughtSignature": "S"}), {"content": "a", **SIGNED}, "stop"),
        (candidate(CALL), {"tool_calls": [{**TOOL, **SIGNED}]}, "tool_calls"),
        (candidate(CALL, finish="MAX_TOKENS"), {"tool_calls": [{**TOOL, **SIGNED}]}, "length"),
        (
            candidate({"inlineData": {"mimeType": "image/png", "data": "AA"}}),
            {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
            "stop",
        ),
        ({"finishReason": "SAFETY"}, {}, "content_filter"),
        ({"finishReason": "RECITATION", "content": {}}, {}, "content_filter"),
        (candidate({"text": "a"}, finish="PROHIBITED_CONTENT"), {"content": "a"}, "content_filter"),
        (candidate({"text": "a"}, finish="SOMETHING_NEW"), {"content": "a"}, "stop"),
    ],
)
def test_candidate(given: dict[str, Any], said: dict[str, Any], finish: str) -> None:
    choice = completion_of({"candidates": [given]})["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": None, **said}
    assert choice["finish_reason"] == finish


def test_several_candidates_and_calls_without_identifiers() -> None:
    older = {"functionCall": {"name": "f"}}
    answer = completion_of({"candidates": [candidate({"text": "a"}), candidate(older, older, index=1)]})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    calls = answer["choices"][1]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [{"name": "f", "arguments": "{}"}] * 2
    assert len({call["id"] for call in calls} - {None, ""}) == 2


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE"])
def test_a_model_that_got_lost_gave_no_answer(reason: str) -> None:
    with pytest.raises(BackendError, match=reason):
        completion_of({"candidates": [{"finishReason": reason}]})


@pytest.mark.parametrize("answer", [{}, {"candidates": []}, {"candidates": [{"content": {}}]}, {"promptFeedback": {}}])
def test_what_does_not_end_is_no_answer(answer: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        completion_of(answer)


def test_usage_counts_thoughts_as_output_and_what_was_cached_as_input() -> None:
    told = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 2,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 24,
    }
    assert usage_of_answer(told) == {
        "prompt_tokens": 12,
        "completion_tokens": 12,
        "total_tokens": 24,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }


def test_logprobs() -> None:
    a, b = {"token": "ä", "logProbability": -0.1}, {"token": "b", "logProbability": -2.0}
    result = {"chosenCandidates": [a], "topCandidates": [{"candidates": [a, b]}]}
    found = completion_of({"candidates": [candidate({"text": "ä"}, logprobsResult=result)]})["choices"][0]["logprobs"]
    told = {"token": "ä", "logprob": -0.1, "bytes": [195, 164]}
    other = {"token": "b", "logprob": -2.0, "bytes": [98]}
    assert found == {"content": [{**told, "top_logprobs": [told, other]}], "refusal": None}


def as_events(*documents: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\r\n\r\n" for document in documents)


async def pieces_of(whole: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    for start, end in pairwise(edges):
        yield whole[start:end]


async def told(whole: bytes, cuts: list[int]) -> list[dict[str, Any]]:
    sent = b"".join([events async for events in chat_stream(pieces_of(whole, cuts), with_usage=True)])
    data = [data_of(event) for event in Splitter().feed(sent)]
    assert data.pop() == b"[DONE]"
    return [json.loads(item) for item in data]


@_PATIENT
@given(
    parts=st.lists(st.sampled_from(["a", "ß", "T", "call"]), min_size=1, max_size=6),
    size=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 10**6), max_size=5),
)
async def test_stream_says_what_the_whole_says(parts: list[str], size: int, cuts: list[int]) -> None:
    made: list[dict[str, Any]] = [
        {"functionCall": {"id": f"c{n}", "name": "f", "args": {"n": n}}}
        if part == "call"
        else {"text": part, **({"thought": True} if part == "T" else {})}
        for n, part in enumerate(parts)
    ]
    groups = [made[start : start + size] for start in range(0, len(made), size)]
    head = {"responseId": "r", "modelVersion": "m"}
    chunks = [{"candidates": [candidate(*group, finish=None)], **head} for group in groups]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    chunks[-1]["usageMetadata"] = {"promptTokenCount": 3, "candidatesTokenCount": 2}
    found = await told(as_events(*chunks), cuts)
    whole = completion_of({"candidates": [candidate(*made)], "usageMetadata": chunks[-1]["usageMetadata"]})
    wanted = whole["choices"][0]
    deltas = [chunk["choices"][0]["delta"] for chunk in found if chunk["choices"]]
    assert deltas[0]["role"] == "assistant"
    for name in ("content", "reasoning_content"):
        assert "".join(delta.get(name, "") for delta in deltas) == (wanted["message"].get(name) or "")
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert [call.pop("index") for call in calls] == list(range(len(calls)))
    assert calls == wanted["message"].get("tool_calls", [])
    assert found[-2]["choices"][0]["finish_reason"] == wanted["finish_reason"]
    assert found[-1]["usage"] == whole["usage"]


async def test_an_end_with_every_chunk_is_told_once() -> None:
    found = await told(as_events(*({"candidates": [candidate({"text": text})]} for text in "ab")), [])
    assert [chunk["choices"][0]["finish_reason"] for chunk in found[:-1]] == [None, None, "stop"]


async def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    choice = completion_of(blocked)["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert "SAFETY" in choice["message"]["refusal"]
    first, last, usage = await told(as_events(blocked), [])
    assert first["choices"][0]["delta"]["refusal"] == choice["message"]["refusal"]
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert usage["usage"]["prompt_tokens"] == 3


KEPT = {"candidates": [candidate({"text": "kept"}, finish=None)]}


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (None, Reason.BROKEN),
        ({"candidates": [candidate({"text": "a"}, index=1)]}, Reason.BROKEN),
        ({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, Reason.BROKEN),
        ({"error": {"code": 503, "status": "UNAVAILABLE"}}, Reason.SERVER_ERROR),
        ({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, Reason.RATE_LIMITED),
        ({"error": "odd"}, Reason.SERVER_ERROR),
        ({"candidates": [{"index": []}]}, Reason.BROKEN),
        ([], Reason.BROKEN),
        ("nonsense", Reason.BROKEN),
    ],
)
async def test_a_stream_without_its_end_fails_after_what_was_said(chunk: Any, reason: Reason) -> None:
    said: list[bytes] = []

    async def read() -> None:
        sent = as_events(KEPT, *([] if chunk is None else [chunk]))
        async for events in chat_stream(pieces_of(sent, []), with_usage=False):
            said.append(events)  # noqa: PERF401  # read until it fails

    with pytest.raises(BackendError) as caught:
        await read()
    assert caught.value.reason is reason
    assert b"kept" in b"".join(said)
    assert b"[DONE]" not in b"".join(said)


def error(code: int, status: str, message: str = "m", *details: Any) -> bytes:
    told = {"code": code, "message": message, "status": status, "details": list(details)}
    return json.dumps({"error": told}).encode()


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "16.2s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
ECHO = 'Invalid value at "x": API key not valid'


@pytest.mark.parametrize(
    ("status", "body", "found", "retry_after", "code"),
    [
        (400, error(400, "INVALID_ARGUMENT"), 400, None, None),
        (400, error(400, "INVALID_ARGUMENT", "m", BAD_KEY), 401, None, "invalid_api_key"),
        (400, error(400, "INVALID_ARGUMENT", "API key not valid. Please pass"), 401, None, "invalid_api_key"),
        (400, error(400, "INVALID_ARGUMENT", ECHO), 400, None, None),
        (400, error(400, "INVALID_ARGUMENT", LONG), 400, None, "context_length_exceeded"),
        (400, error(400, "FAILED_PRECONDITION", "User location is not supported"), 403, None, None),
        (403, error(403, "PERMISSION_DENIED"), 403, None, None),
        (404, error(404, "NOT_FOUND"), 404, None, None),
        (429, error(429, "RESOURCE_EXHAUSTED", "plan and billing", RETRY), 429, "17", "rate_limit_exceeded"),
        (429, error(429, "RESOURCE_EXHAUSTED", "plan and billing"), 429, None, None),
        (503, error(503, "UNAVAILABLE"), 503, None, None),
        (500, b"[" + error(500, "INTERNAL") + b"]", 500, None, None),
        (413, b"<html>", 413, None, None),
        (400, b"[]", 400, None, None),
    ],
)
def test_errors(status: int, body: bytes, found: int, retry_after: str | None, code: str | None) -> None:
    got, wait, document = as_openai(status, body)
    told_of = json.loads(document)["error"]
    assert (got, wait, told_of["code"]) == (found, retry_after, code)
    assert told_of["message"]


def test_what_a_quota_says_about_waiting_is_kept() -> None:
    failure = failure_of({"status": "RESOURCE_EXHAUSTED", "details": [RETRY]})
    assert (failure.reason, failure.retry_after) == (Reason.RATE_LIMITED, "17")
