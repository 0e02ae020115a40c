"""Answers of the Responses API in the caches."""

import json
from typing import Any

import pytest

from aiapp_service.cache.question import question_of
from aiapp_service.cache.recording import Unfit
from aiapp_service.cache.replay import PIECE_CHARACTERS
from aiapp_service.cache.responses import in_stream, may_keep, question_of_response, replayed

CITED = {"type": "url_citation", "url": "https://x.example"}
PART = {"type": "output_text", "text": "a" * (PIECE_CHARACTERS + 1), "annotations": [CITED], "logprobs": []}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [PART]}
REASONING = {"id": "rs_1", "type": "reasoning", "summary": []}
RESPONSE = {"id": "resp_1", "status": "completed", "error": None, "output": [REASONING, MESSAGE], "usage": {"a": 1}}


def documents(events: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in events.split(b"\n") if line.startswith(b"data: ")]


def test_a_stream_and_back() -> None:
    events = replayed(json.dumps(RESPONSE).encode())
    found = documents(events)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert "".join(e["delta"] for e in found if e["type"] == "response.output_text.delta") == PART["text"]
    assert [e["annotation"] for e in found if e["type"] == "response.output_text.annotation.added"] == [CITED]
    assert in_stream(events) == RESPONSE
    with pytest.raises(Unfit):
        in_stream(events[: events.rindex(b"event: response.completed")])


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, True),
        ({"status": "incomplete"}, False),
        ({"error": {"code": "x"}}, False),
        ({"output": []}, False),
        ({"output": [REASONING]}, False),
        ({"output": [{**MESSAGE, "content": [{"type": "refusal", "refusal": "no"}]}]}, False),
        ({"output": [MESSAGE, {"type": "function_call"}]}, False),
        ({"output": [{"type": "web_search_call"}, MESSAGE]}, False),
        ({"output": None}, False),
    ],
)
def test_what_is_kept(changes: dict[str, Any], may: bool) -> None:
    assert may_keep({**RESPONSE, **changes}) is may
    assert not may_keep([])


def test_questions_are_those_of_chats_but_have_answers_of_their_own() -> None:
    asked = question_of_response({"model": "m", "input": "How?", "instructions": "Short."}, b"backends")
    chat = {
        "model": "m",
        "messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "How?"}],
    }
    same = question_of(chat, b"backends")
    assert asked is not None
    assert same is not None
    assert (asked.text, asked.context) == (same.text, same.context)
    assert asked.parameters != same.parameters
    assert question_of_response({"model": "m", "input": "x", "tools": [{"type": "web_search"}]}, b"backends") is None
