"""What a chat is asked when a client asks for a response."""

from typing import Any

import pytest

from aiapp_service.http.errors import ApiError
from aiapp_service.responses.request import Asked, Given
from aiapp_service.responses.store import Record

USER = {"role": "user", "content": "Hello"}
CALL = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":1}'}
OTHER_CALL = {**CALL, "call_id": "c2"}
CHAT_CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
TOOL = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True, "description": None}
CHAT_TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}, "strict": True}}
SECOND = {"type": "function", "name": "mul"}
SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}


def asked(body: dict[str, Any], records: dict[str, Record] | None = None) -> Asked:
    return Given.of({"model": "chat", **body}).asked(records or {})


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        ("Hello", [USER]),
        ([USER], [USER]),
        ([{"role": "developer", "content": "d"}], [{"role": "system", "content": "d"}]),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}],
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        ),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x", "detail": "low"}]}],
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}]}],
        ),
        (
            [{"role": "user", "content": [{"type": "input_file", "file_data": "data:x", "filename": "f"}]}],
            [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:x", "filename": "f"}}]}],
        ),
        (
            [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}]}],
            [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}]}],
        ),
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        ),
        ([USER, CALL], [USER, {"role": "assistant", "content": None, "tool_calls": [CHAT_CALL]}]),
        (
            # What it said and all calls of its turn are one message, the next turn's are another.
            [
                {"type": "reasoning", "summary": []},
                {"role": "assistant", "content": [{"type": "output_text", "text": "wait"}]},
                CALL,
                OTHER_CALL,
                {"type": "function_call_output", "call_id": "c1", "output": "1"},
                {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
                CALL,
            ],
            [
                {"role": "assistant", "content": "wait", "tool_calls": [CHAT_CALL, {**CHAT_CALL, "id": "c2"}]},
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
                {"role": "tool", "tool_call_id": "c2", "content": "2"},
                {"role": "assistant", "content": None, "tool_calls": [CHAT_CALL]},
            ],
        ),
    ],
)
def test_items_become_messages(items: Any, messages: list[Any]) -> None:
    assert asked({"input": items}).chat["messages"] == messages


@pytest.mark.parametrize(
    ("fields", "chat"),
    [
        ({"max_output_tokens": 5}, {"max_completion_tokens": 5}),
        ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
        ({"seed": 1, "x_vendor": {"a": None}, "user": "u"}, {"seed": 1, "x_vendor": {"a": None}, "user": "u"}),
        ({"prompt": {"id": "p"}}, {"prompt": {"id": "p"}}),
        ({"metadata": {"a": "b"}, "store": False, "max_tool_calls": 2, "background": False}, {}),
        ({"truncation": "disabled", "stream_options": {"include_obfuscation": False}}, {}),
        ({"tools": [TOOL]}, {"tools": [CHAT_TOOL]}),
        ({"parallel_tool_calls": False}, {}),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"tools": [CHAT_TOOL], "parallel_tool_calls": False}),
        ({"tools": [TOOL], "tool_choice": "required"}, {"tools": [CHAT_TOOL], "tool_choice": "required"}),
        ({"tools": [], "tool_choice": "auto"}, {}),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "add"}},
            {"tools": [CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "add"}}},
        ),
        (
            {
                "tools": [SECOND, TOOL],
                "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"name": "add"}]},
            },
            {"tools": [CHAT_TOOL], "tool_choice": "required"},
        ),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": SCHEMA}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
    ],
)
def test_fields_are_translated_or_passed_on(fields: dict[str, Any], chat: dict[str, Any]) -> None:
    assert asked({"input": "Hello", **fields}).chat == {"model": "chat", "messages": [USER], **chat}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 1}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"type": "web_search_call"}]}, "input"),
        ({"input": [USER, {"role": "tool", "content": "x"}]}, "input[1].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]},
            "input[0].content[0].file_url",
        ),
        ({"input": [{**CALL, "call_id": None}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": "x", "instructions": ["x"]}, "instructions"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "conversation": "c"}, "conversation"),
        ({"input": "x", "context_management": [{"type": "compaction"}]}, "context_management"),
        ({"input": "x", "truncation": "auto"}, "truncation"),
        ({"input": "x", "n": 2}, "n"),
        ({"input": "x", "store": "yes"}, "store"),
        ({"input": "x", "previous_response_id": 1}, "previous_response_id"),
        ({"input": "x", "tools": {}}, "tools"),
        ({"input": "x", "tools": [TOOL, {"type": "web_search"}]}, "tools[1].type"),
        ({"input": "x", "tools": [{"type": "web_search", "vector_store_ids": ["v"]}]}, "tools[0].type"),
        ({"input": "x", "tools": [{"type": "code_interpreter"}]}, "tools[0].type"),
        ({"input": "x", "tools": [{"type": "custom", "name": "x"}]}, "tools[0].type"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "x", "tools": [TOOL], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"input": "x", "tools": [TOOL], "tool_choice": "maybe"}, "tool_choice"),
        (
            {"input": "x", "tools": [TOOL], "tool_choice": {"type": "allowed_tools", "tools": [{"name": "z"}]}},
            "tool_choice.tools",
        ),
        ({"input": "x", "text": "json"}, "text"),
        ({"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"input": "x", "text": {"format": {**SCHEMA, "schema": None}}}, "text.format.schema"),
        ({"input": "x", "reasoning": "much"}, "reasoning"),
    ],
)
def test_mistakes_name_the_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        asked(body)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert param in str(caught.value)


PREVIOUS = f"resp_{'0' * 32}"
ITEM = f"msg_{'0' * 32}_0"
SAID = {"id": ITEM, "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
RECORD = Record({"id": PREVIOUS, "output": [SAID]}, [USER], [{"role": "user", "content": "before"}])
HI = {"role": "assistant", "content": "Hi"}


def test_goes_on_with_a_conversation_and_its_own_instructions() -> None:
    body = {"input": "More", "previous_response_id": PREVIOUS, "instructions": "short"}
    assert Given.of(body).needed == ([PREVIOUS], [])
    wanted = asked(body, {PREVIOUS: RECORD})
    assert wanted.chat["messages"] == [
        {"role": "system", "content": "short"},
        {"role": "user", "content": "before"},
        USER,
        HI,
        {"role": "user", "content": "More"},
    ]
    assert len(wanted.before) == 3
    assert len(wanted.input) == 1


@pytest.mark.parametrize("reference", [{"type": "item_reference", "id": ITEM}, {"id": ITEM}])
def test_reference_stands_for_the_item(reference: dict[str, str]) -> None:
    body = {"input": [USER, reference]}
    assert Given.of(body).needed == ([PREVIOUS], [])
    assert asked(body, {PREVIOUS: RECORD}).chat["messages"] == [USER, HI]


def test_what_a_provider_has_run_is_not_told_to_a_chat() -> None:
    searched = Record({"id": PREVIOUS, "output": [{"type": "web_search_call", "id": "ws_1"}, SAID]}, [USER])
    body = {"input": "More", "previous_response_id": PREVIOUS}
    assert asked(body, {PREVIOUS: searched}).chat["messages"] == [USER, HI, {"role": "user", "content": "More"}]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": "x", "previous_response_id": PREVIOUS}, "previous_response_id", "response_not_found"),
        ({"input": "x", "previous_response_id": "resp_of_others"}, "previous_response_id", "response_not_found"),
        ({"input": [USER, {"type": "item_reference", "id": ITEM}]}, "input[1].id", "item_not_found"),
        ({"input": [{"type": "item_reference", "id": "msg_of_others"}]}, "input[0].id", "item_not_found"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id", "item_not_found"),
    ],
)
def test_what_is_not_there_is_404(body: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        asked(body)
    assert (caught.value.status, caught.value.param, caught.value.code) == (404, param, code)


def test_no_more_references_than_can_be_looked_up_at_once() -> None:
    names = [f"msg_{number:032x}_0" for number in range(51)]
    references = [{"type": "item_reference", "id": name} for name in names]
    assert len(Given.of({"input": references[:50] * 2}).needed[0]) == 50
    with pytest.raises(ApiError, match="51 responses") as caught:
        _ = Given.of({"input": references}).needed
    assert (caught.value.status, caught.value.param) == (400, "input")
    foreign = [{"type": "item_reference", "id": f"msg_{number}"} for number in range(51)]
    with pytest.raises(ApiError, match="51 responses"):
        _ = Given.of({"input": foreign}).needed
