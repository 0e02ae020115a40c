"""Streams, wherever their bytes are cut, and through both translations."""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiapp_service.http.anthropic.stream import MessageStream
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.anthropic.answer import completion_of
from aiapp_service.llm.anthropic.errors import as_openai
from aiapp_service.llm.anthropic.stream import ChatChunks
from aiapp_service.llm.sse import Splitter, data_of
from aiapp_service.llm.translated import chat_events
from aiapp_service.llm.upstream import BackendError, Reason

_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def event(type_: str, **fields: Any) -> bytes:
    return f"event: {type_}\ndata: {json.dumps({'type': type_, **fields})}\n\n".encode()


START = event("message_start", message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 8})
STOP = event("message_stop")


def text(*pieces: str, index: int = 0) -> bytes:
    deltas = [event("content_block_delta", index=index, delta={"type": "text_delta", "text": p}) for p in pieces]
    begin = event("content_block_start", index=index, content_block={"type": "text", "text": ""})
    return begin + b"".join(deltas) + event("content_block_stop", index=index)


def tool(id_: str, *pieces: str, index: int) -> bytes:
    deltas = [
        event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": p}) for p in pieces
    ]
    block = {"type": "tool_use", "id": id_, "name": "f", "input": {}}
    begin = event("content_block_start", index=index, content_block=block)
    return begin + b"".join(deltas) + event("content_block_stop", index=index)


async def pieces_of(whole: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    for a, b in pairwise(edges):
        yield whole[a:b]


def documents(events: bytes) -> list[Any]:
    data = [data_of(event) for event in Splitter().feed(events)]
    return [json.loads(each) if each != b"[DONE]" else "DONE" for each in data if each]


def chat(whole: bytes) -> list[Any]:
    chunks = ChatChunks(with_usage=True)
    return documents(b"".join(chunks.feed(event) for event in Splitter().feed(whole)))


def test_tools_are_numbered_by_themselves_and_none_is_without_arguments() -> None:
    whole = START + text("a") + tool("t1", "", '{"x"', ": 1}", index=1) + tool("t2", "", index=2) + END + STOP
    deltas = [c["choices"][0]["delta"] for c in chat(whole) if c != "DONE" and c["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    arguments = {n: "".join(c["function"].get("arguments", "") for c in calls if c["index"] == n) for n in (0, 1)}
    assert arguments == {0: '{"x": 1}', 1: "{}"}
    assert [(c["index"], c["id"]) for c in calls if "id" in c] == [(0, "t1"), (1, "t2")]


def test_end_tells_why_and_how_much() -> None:
    *_, end, usage, done = chat(START + text("a") + END + STOP)
    assert end["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (3, 8)
    assert done == "DONE"


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("something_new", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_reasons_to_stop(stop: str, finish: str) -> None:
    streamed = chat(START + text("a") + event("message_delta", delta={"stop_reason": stop}, usage={}) + STOP)
    assert streamed[-3]["choices"][0]["finish_reason"] == finish
    assert completion_of({"content": [], "stop_reason": stop})["choices"][0]["finish_reason"] == finish


def test_what_is_not_known_is_skipped_and_pings_keep_alive() -> None:
    chunks = ChatChunks(with_usage=False)
    assert chunks.feed(event("a_new_event", x=1)) == b""
    assert chunks.feed(event("content_block_start", index=0, content_block={"type": "server_tool_use"})) == b""
    assert chunks.feed(event("content_block_delta", index=0, delta={"type": "citations_delta"})) == b""
    assert (
        chunks.feed(event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x"})) == b""
    )
    assert chunks.feed(event("ping")).startswith(b":")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (event("error", error={"type": "overloaded_error", "message": "m"}), Reason.SERVER_ERROR),
        (event("error", error={"type": "rate_limit_error", "message": "m"}), Reason.RATE_LIMITED),
        (event("error", error=None), Reason.SERVER_ERROR),
        (b"data: nonsense\n\n", Reason.BROKEN),
        (b"data: [1]\n\n", Reason.BROKEN),
        (event("content_block_delta", index=0), Reason.BROKEN),
    ],
)
async def test_failures_come_after_what_was_said_before(sent: bytes, reason: Reason) -> None:
    said: list[bytes] = []

    async def read() -> None:
        async for chunk in chat_events(pieces_of(START + text("kept") + sent, []), ChatChunks(with_usage=False).feed):
            said.append(chunk)  # noqa: PERF401  # read until it fails

    with pytest.raises(BackendError) as caught:
        await read()
    assert caught.value.reason is reason
    assert b"kept" in b"".join(said)
    assert b"[DONE]" not in b"".join(said)


_WORD = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=4)
_BLOCKS = st.lists(st.tuples(st.sampled_from(["text", "tool"]), st.lists(_WORD, min_size=1, max_size=3)), max_size=4)


@_PATIENT
@given(blocks=_BLOCKS, cuts=st.lists(st.integers(0, 3000), max_size=10))
async def test_both_ways_give_the_same_message_however_it_is_cut(
    blocks: list[tuple[str, list[str]]], cuts: list[int]
) -> None:
    """Anthropic's stream -> chat chunks -> Anthropic's stream."""
    whole, wanted = START, []
    for index, (kind, words) in enumerate(blocks):
        if kind == "text":
            whole += text(*words, index=index)
            wanted.append(("text", "".join(words)))
        else:
            arguments = json.dumps({"said": words})
            whole += tool(f"t{index}", arguments[:5], arguments[5:], index=index)
            wanted.append(("tool_use", arguments))
    face = MessageStream("r", thoughts=False)
    chat = ChatChunks(with_usage=True)
    sent = [face.feed(chunk) async for chunk in chat_events(pieces_of(whole + END + STOP, cuts), chat.feed)]
    events = documents(b"".join(sent))
    starts = [e for e in events if e["type"] == "content_block_start"]
    assert [e["index"] for e in starts] == list(range(len(starts)))
    found = [
        (
            start["content_block"]["type"],
            "".join(
                e["delta"].get("text", "") + e["delta"].get("partial_json", "")
                for e in events
                if e["type"] == "content_block_delta" and e["index"] == start["index"]
            ),
        )
        for start in starts
    ]
    assert found == _joined(wanted)
    assert sum(e["type"] == "content_block_stop" for e in events) == len(starts)
    assert [e["type"] for e in events][:1] == ["message_start"]
    assert [e["type"] for e in events][-2:] == ["message_delta", "message_stop"]
    assert events[-2]["usage"]["output_tokens"] == 8


def _joined(blocks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Chats know one text, not where one block of it ends and the next begins."""
    joined: list[tuple[str, str]] = []
    for kind, said in blocks:
        if kind == "text" and joined and joined[-1][0] == "text":
            joined[-1] = ("text", joined[-1][1] + said)
        else:
            joined.append((kind, said))
    return joined


def test_tool_calls_that_take_turns_each_keep_their_arguments() -> None:
    """Some servers write several calls at once."""
    face = MessageStream("r", thoughts=False)
    sent = b""
    for number, arguments in ((0, '{"a'), (1, '{"b'), (0, '": 1}'), (1, '": 2}')):
        call = {"index": number, "id": f"c{number}", "function": {"name": "f", "arguments": arguments}}
        chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
        sent += face.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    events = documents(sent + face.feed(b"data: [DONE]\n\n"))
    pieces = [(e["index"], e["delta"]["partial_json"]) for e in events if e["type"] == "content_block_delta"]
    assert "".join(p for i, p in pieces if i == 0) == '{"a": 1}'
    assert "".join(p for i, p in pieces if i == 1) == '{"b": 2}'


def test_a_chunk_that_is_no_chat_ends_the_stream_in_an_error() -> None:
    face = MessageStream("r", thoughts=False)
    with pytest.raises(ApiError, match="not complete"):
        face.feed(b"data: nonsense\n\n")
    assert b"message_stop" not in face.broken(ApiError(502, "x"))


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, b'{"error":{"type":"invalid_request_error","message":"m"}}', (400, "m", None)),
        (
            400,
            b'{"error":{"message":"prompt is too long: 214315 tokens > 200000 maximum"}}',
            (400, "prompt is too long: 214315 tokens > 200000 maximum", "context_length_exceeded"),
        ),
        (402, b'{"error":{"type":"billing_error","message":"m"}}', (429, "m", "insufficient_quota")),
        (529, b'{"error":{"type":"overloaded_error","message":"m"}}', (529, "m", None)),
        (413, b"<html>too large</html>", (413, "answered 413", None)),
        (400, b"[]", (400, "answered 400", None)),
    ],
)
def test_errors_in_openais_shape(status: int, body: bytes, told: tuple[int, str, str | None]) -> None:
    found, document = as_openai(status, body)
    error = json.loads(document)["error"]
    assert (found, error["message"], error["code"]) == told
