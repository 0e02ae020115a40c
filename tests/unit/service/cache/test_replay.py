"""Whole answers as streams, streams as whole answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiapp_service.cache import recording
from aiapp_service.cache.recording import MOST_TOGETHER_BYTES, Recording, Room, Unfit
from aiapp_service.cache.replay import PIECE_CHARACTERS, replayed
from aiapp_service.llm.sse import Splitter, data_of
from aiapp_service.llm.usage import Usage

TEXT = st.text(min_size=1, max_size=40) | st.text(min_size=1, max_size=3).map(lambda text: text * PIECE_CHARACTERS)
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def completion(content: str, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, "refusal": None, **message}
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": "stop"}
    head = {"id": "c1", "created": 7, "model": "m", "system_fingerprint": "fp"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": USAGE}


async def recorded(events: bytes, usage: Usage | None = None) -> dict[str, Any]:
    room = Room()
    tape = Recording(room)
    for event in Splitter().feed(events):
        tape.add(event)
    try:
        return await tape.whole(usage)
    finally:
        tape.forget()
        assert room.left == MOST_TOGETHER_BYTES


@given(TEXT, TEXT, st.lists(st.integers(), max_size=3))
async def test_replayed_and_recorded_again_it_is_the_same(content, reasoning, annotations) -> None:
    more = {"annotations": annotations} if annotations else {}
    document = completion(content, reasoning_content=reasoning, **more)
    assert await recorded(replayed(json.dumps(document).encode(), with_usage=True)) == document


def chunks(events: bytes) -> list[dict[str, Any]]:
    pieces = [data_of(event) for event in Splitter().feed(events)]
    assert pieces.pop() == b"[DONE]"
    return [json.loads(piece) for piece in pieces]


def test_stream_has_the_parts_of_a_stream_in_their_order() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -1.0}], "refusal": None}
    document = completion("a" * (PIECE_CHARACTERS + 1), reasoning_content="because")
    document["choices"][0]["logprobs"] = logprobs
    found = chunks(replayed(json.dumps(document).encode(), with_usage=True))
    assert {chunk["object"] for chunk in found} == {"chat.completion.chunk"}
    assert {chunk["id"] for chunk in found} == {"c1"}
    choices = [chunk["choices"][0] for chunk in found[:-1]]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "because"},
        {"content": "a" * PIECE_CHARACTERS},
        {"content": "a"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, None, "stop"]
    assert choices[2]["logprobs"] == logprobs
    assert (found[-1]["choices"], found[-1]["usage"]) == ([], USAGE)


def test_usage_comes_only_where_it_was_asked_for() -> None:
    events = replayed(json.dumps(completion("a")).encode(), with_usage=False)
    assert not [chunk for chunk in chunks(events) if "usage" in chunk]


def test_no_line_is_too_long_for_simple_clients() -> None:
    events = replayed(json.dumps(completion("\U0001f600" * 20_000)).encode(), with_usage=False)
    assert max(map(len, events.split(b"\n"))) < 64 * 1024


DONE = b"data: [DONE]\n\n"


def event(delta: Any = None, **choice: Any) -> bytes:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": delta or {}, **choice}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


HELLO = event({"role": "assistant", "content": "Hello"})
STOP = event(finish_reason="stop")


async def test_usage_that_the_stream_hid_is_told() -> None:
    whole = await recorded(HELLO + STOP + DONE, Usage(3, 4, 1, 2))
    assert whole["usage"]["total_tokens"] == 7
    assert whole["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert "usage" not in await recorded(HELLO + STOP + DONE)


@pytest.mark.parametrize(
    "events",
    [
        HELLO + STOP,
        HELLO + b"data: {nonsense\n\n" + DONE,
        HELLO + b"data: [1]\n\n" + DONE,
        HELLO + event({"content": "b"}, index=1) + DONE,
        event({"tool_calls": [{"index": 0, "id": "t"}]}) + DONE,
        event({"audio": {"id": "a"}}) + DONE,
        HELLO + event(token_ids=[1, 2]) + DONE,
    ],
    ids=["no DONE", "no JSON", "no object", "two choices", "tool call", "audio", "pieces of something unknown"],
)
async def test_what_cannot_be_put_together_is_unfit(events) -> None:
    with pytest.raises(Unfit):
        await recorded(events)


async def test_what_is_too_long_is_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(recording, "MOST_STREAM_BYTES", len(HELLO))
    with pytest.raises(Unfit):
        await recorded(HELLO + STOP + DONE)


async def test_streams_share_their_room() -> None:
    room = Room(len(HELLO + STOP + DONE) + 1)
    first, second = Recording(room), Recording(room)
    for event in (HELLO, STOP, DONE):
        first.add(event)
    second.add(HELLO)
    assert (await first.whole(None))["choices"][0]["message"]["content"] == "Hello"
    with pytest.raises(Unfit):
        await second.whole(None)
    first.forget()
    second.forget()
    assert room.left == len(HELLO + STOP + DONE) + 1
