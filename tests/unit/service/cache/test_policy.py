"""What may be answered from a cache, what may be kept, and what is asked by meaning."""

from typing import Any

import pytest

from aiapp_service.cache.policy import may_ask, may_keep
from aiapp_service.cache.question import MOST_CHARACTERS, question_of
from aiapp_service.llm.upstream import Endpoint

USER = {"role": "user", "content": "How tall is it?"}
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"n": 1, "temperature": 1}, True),
        ({"n": None, "temperature": None, "modalities": ["text"], "tools": [{"type": "function"}]}, True),
        ({"temperature": 0.7}, True),
        ({"n": 2}, False),
        ({"temperature": 1.2}, False),
        ({"modalities": ["text", "audio"]}, False),
        ({"audio": {"voice": "x"}}, False),
    ],
)
def test_which_requests(fields, may) -> None:
    assert may_ask(Endpoint.CHAT, {"messages": [USER], **fields}) is may


def completion(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "30 m", **message}
    return {"choices": [{"index": 0, "message": said, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("document", "may"),
    [
        (completion(), True),
        (completion(tool_calls=[], refusal=None), True),
        (completion("length"), False),
        (completion("content_filter"), False),
        (completion("tool_calls"), False),
        (completion(None), False),
        (completion(tool_calls=[{"id": "t"}]), False),
        (completion(function_call={"name": "f"}), False),
        (completion(refusal="No."), False),
        (completion(audio={"id": "a"}), False),
        (completion(content=""), False),
        (completion(content=None), False),
        ({"choices": []}, False),
        ({"choices": completion()["choices"] * 2}, False),
        ({**completion(), "error": {"message": "oom"}}, False),
        ([], False),
    ],
)
def test_which_answers(document, may) -> None:
    assert may_keep(document) is may


def ask(*messages: dict[str, Any], **fields: Any):
    return question_of({"model": "chat", "messages": list(messages), **fields}, b"backends")


def test_question_is_the_last_text() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "How"}, {"type": "text", "text": "tall?"}]}
    assert ask(SYSTEM, USER).text == "How tall is it?"
    assert ask(parts).text == "How\ntall?"


@pytest.mark.parametrize(
    "messages",
    [
        [SYSTEM],
        [USER, {"role": "assistant", "content": "30 m"}],
        [USER, {"role": "tool", "tool_call_id": "t", "content": "x"}, USER],
        [{"role": "assistant", "content": "x", "tool_calls": [{"id": "t"}]}, USER],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}],
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, SYSTEM, USER],
        [{"role": "user", "content": "  "}],
        [{"role": "user"}],
        [{"role": "user", "content": "a" * (MOST_CHARACTERS + 1)}],
    ],
)
def test_where_words_are_not_all_there_is_nothing_is_asked(messages) -> None:
    assert ask(*messages) is None


def key(*messages: dict[str, Any], **fields: Any) -> tuple[bytes, bytes]:
    question = ask(*messages, **fields)
    assert question is not None
    return question.context, question.parameters


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (key(SYSTEM, {"role": "user", "content": "What is its height?"}), True),
        (key(SYSTEM, USER, stream=True, user="u", metadata={"a": "b"}), True),
        (key(USER), False),
        (key({"role": "system", "content": "Be brief"}, USER), False),
        (key({"role": "developer", "content": "Be brief."}, USER), False),
        (key(SYSTEM, USER, {"role": "assistant", "content": "30 m"}, USER), False),
        (key(SYSTEM, {**USER, "name": "bob"}), False),
        (key(SYSTEM, {"role": "user", "content": "How tall was it in 1999?"}), False),
        (key(SYSTEM, USER, tools=[{"type": "function"}]), False),
        (key(SYSTEM, USER, response_format={"type": "json_object"}), False),
        (key(SYSTEM, USER, temperature=0), False),
        (key(SYSTEM, USER, max_tokens=5), False),
    ],
)
def test_all_but_the_words_of_the_question_has_to_be_equal(other, same) -> None:
    assert (key(SYSTEM, USER) == other) is same
