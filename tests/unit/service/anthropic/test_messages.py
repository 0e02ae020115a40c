"""The Messages API as a face: requests and whole answers."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiapp_service.http.anthropic.message import message_of
from aiapp_service.http.anthropic.request import chat_request
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.anthropic.answer import completion_of
from aiapp_service.llm.anthropic.request import message_request

_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
HELLO = [{"role": "user", "content": "Hello"}]


def chat(**fields: Any) -> dict[str, Any]:
    return chat_request({"model": "m", "max_tokens": 9, "messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, {}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": False, "stop_sequences": []}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}, "service_tier": "auto", "top_k": 1, "speed": None}, {}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"prompt": {"id": "p"}, "x_mock": {"tokens": 3}}, {"prompt": {"id": "p"}, "x_mock": {"tokens": 3}}),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "xhigh"}),
        ({"output_config": {"effort": "low", "format": None}}, {"reasoning_effort": "low"}),
        ({"metadata": {"user_id": None}}, {}),
    ],
)
def test_fields(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    assert chat(**fields) == {"model": "m", "max_completion_tokens": 9, "messages": HELLO, **sent}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)
def test_tools_come_back_as_they_were(choice: dict[str, Any], sent: dict[str, Any]) -> None:
    tools = [{"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}]
    made = chat(tools=tools, tool_choice=choice)
    assert {name: made[name] for name in sent} == sent
    back = message_request(made)
    assert (back["tools"], back["tool_choice"]) == (tools, choice)


def test_images_in_results_of_tools_are_shown_by_the_user() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x/a.png"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "here"}, image]}
    made = chat(messages=[{"role": "user", "content": [result]}])["messages"]
    assert made[0] == {"role": "tool", "tool_call_id": "t", "content": "here"}
    assert made[1]["content"] == [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]


MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("fields", "marked"),
    [
        ({}, False),
        (MARK, True),
        ({"system": [{"type": "text", "text": "s", **MARK}]}, True),
        ({"tools": [{"name": "f", "input_schema": {}, **MARK}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "s", **MARK}]}]}, True),
        ({"system": [{"type": "text", "text": "s"}]}, False),
    ],
)
def test_marks_for_the_prompt_cache_reach_anthropic(fields: dict[str, Any], marked: bool) -> None:
    made = chat(**fields)
    assert ("prompt_cache_key" in made) is marked
    assert ("cache_control" in message_request(made)) is marked
    assert "cache_control" not in made
    longer = [*fields.get("messages", HELLO), {"role": "assistant", "content": "x"}]
    assert chat(**{**fields, "messages": longer}).get("prompt_cache_key") == made.get("prompt_cache_key")


@pytest.mark.parametrize(
    ("finish", "more", "stop", "sequence"),
    [
        ("stop", {}, "end_turn", None),
        ("stop", {"stop_reason": None}, "end_turn", None),
        ("stop", {"stop_reason": 128009}, "end_turn", None),
        ("stop", {"stop_reason": "END"}, "stop_sequence", "END"),
        ("length", {}, "max_tokens", None),
        ("tool_calls", {}, "tool_use", None),
        ("content_filter", {}, "refusal", None),
        (None, {}, "end_turn", None),
    ],
)
def test_reasons_to_stop(finish: str | None, more: dict[str, Any], stop: str, sequence: str | None) -> None:
    choice = {"message": {"content": "x"}, "finish_reason": finish, **more}
    message = message_of({"id": "chatcmpl-1", "choices": [choice]}, thoughts=False)
    assert (message["id"], message["stop_reason"], message["stop_sequence"]) == ("msg_1", stop, sequence)


def test_arguments_that_are_no_json_are_shown_as_they_are() -> None:
    call = {"id": "", "function": {"name": "f", "arguments": "{oops"}}
    choice = {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    block = message_of({"choices": [choice], "usage": None}, thoughts=False)["content"][0]
    assert block["input"] == {"arguments": "{oops"}
    assert block["id"].startswith("toolu_")


_ID = st.text("abcXYZ019_-", min_size=1, max_size=8)
_TEXT = st.text(min_size=1, max_size=5)
_INPUT = st.dictionaries(_TEXT, st.integers() | _TEXT | st.none(), max_size=3)
_BLOCKS = st.lists(st.builds(lambda i, n: {"type": "tool_use", "id": i, "name": "f", "input": n}, _ID, _INPUT))
_MESSAGE = st.builds(
    lambda text, calls, written: {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": text}, *calls],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": len(text),
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": len(calls),
            "output_tokens": 3,
        },
    },
    _TEXT,
    _BLOCKS,
    st.integers(0, 9),
)


@_PATIENT
@given(message=_MESSAGE)
def test_messages_come_back_as_they_were(message: dict[str, Any]) -> None:
    """Both as an answer, and as part of the next request."""
    completion = json.loads(json.dumps(completion_of(message)))
    assert message_of(completion, thoughts=False) == message
    asked = [*HELLO, {"role": "assistant", "content": message["content"]}]
    assert message_request(chat(messages=asked))["messages"][1]["content"] == message["content"]


def outcome(body: dict[str, Any]) -> str:
    try:
        return json.dumps(chat_request(body))
    except ApiError as error:
        return str(error)


_LEAF = (
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["", "x", "text", "user", "tool", "json_schema"])
)
_KEY = st.sampled_from(["type", "role", "content", "text", "source", "input", "id", "name", "format", "tool_use_id"])
_JSON = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEY, inner, max_size=3), max_leaves=8
)
_FIELDS = st.sampled_from(
    ["max_tokens", "system", "tools", "tool_choice", "stop_sequences", "metadata", "output_config", "thinking"]
)
_SAID = st.dictionaries(st.sampled_from(["role", "content"]), _JSON)


@_PATIENT
@given(body=st.dictionaries(_FIELDS, _JSON, max_size=4), messages=st.just(HELLO) | st.lists(_SAID, max_size=3))
def test_nonsense_is_refused_or_passed_on_and_breaks_nothing(body: dict[str, Any], messages: list[Any]) -> None:
    assert outcome({"model": "m", "max_tokens": 9, "messages": messages, **body})
