"""Streams of the Responses API: when they have begun to speak, and when they are complete."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from aiapp_service.config import TimeoutsConfig
from aiapp_service.llm.responses_stream import ResponsesStream
from aiapp_service.llm.upstream import BackendError, Reason

RESPONSE = {"id": "r", "status": "in_progress", "error": None, "usage": None}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


BEGUN = event("response.created", response=RESPONSE) + event("response.in_progress", response=RESPONSE)
ITEM = event("response.output_item.added", output_index=0, item={"type": "message", "content": []})
ENDED = event("response.completed", response={**RESPONSE, "status": "completed", "usage": USAGE})


def word(text: str) -> bytes:
    return event("response.output_text.delta", delta=text)


@dataclass
class Reply:
    """Of these pieces."""

    pieces: list[bytes]
    status: int = 200
    content_type: str = "text/event-stream"
    retry_after: str | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def stream_of(*pieces: bytes) -> ResponsesStream:
    return ResponsesStream(Reply(list(pieces)), TimeoutsConfig(), float("inf"), hides_usage=False)


async def read(stream: ResponsesStream) -> list[bytes]:
    await stream.start()
    found = []
    while (events := await stream.next()) is not None:
        found.append(events)
    return found


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_bytes_pass_however_they_are_cut(size: int) -> None:
    # A text may look like the field that is looked for.
    whole = BEGUN + ITEM + word('"response": {"error"') + word("a") + ENDED
    stream = stream_of(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert b"".join(await read(stream)) == whole
    assert stream.complete
    assert stream.usage is not None
    assert (stream.usage.input, stream.usage.output) == (3, 2)


@pytest.mark.parametrize(
    "first",
    [
        word("a"),
        event("response.web_search_call.in_progress", output_index=0),
        event("response.output_item.added", output_index=0, item={"type": "function_call"}),
        ENDED,
    ],
)
async def test_held_back_until_it_does_something(first: bytes) -> None:
    stream = stream_of(BEGUN + ITEM, first, word("b"))
    await stream.start()
    assert await stream.next() == BEGUN + ITEM + first


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([BEGUN, ITEM], Reason.BROKEN),
        ([BEGUN, event("response.failed", response={**RESPONSE, "status": "failed"})], Reason.SERVER_ERROR),
        ([event("error", code="x", message="y")], Reason.SERVER_ERROR),
        ([b"data: {}\n\n"], Reason.BROKEN),
        ([b"data: nonsense\n\n"], Reason.BROKEN),
    ],
)
async def test_what_fails_before_a_word_is_left_to_the_next_one(pieces: list[bytes], reason: Reason) -> None:
    with pytest.raises(BackendError) as caught:
        await stream_of(*pieces).start()
    assert caught.value.reason is reason


async def test_what_comes_after_the_end_is_dropped() -> None:
    stream = stream_of(BEGUN + word("a") + ENDED + b"data: [DONE]\n\n")
    assert b"".join(await read(stream)) == BEGUN + word("a") + ENDED


async def test_without_its_end_it_is_broken() -> None:
    stream = stream_of(BEGUN + word("a"), word("b"))
    with pytest.raises(BackendError, match="ended too early"):
        await read(stream)
