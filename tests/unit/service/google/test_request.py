"""Requests for chat completions as Google's API takes them."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiapp_service.llm.google.request import content_request
from aiapp_service.llm.translated import Untranslatable

_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
HELLO = [{"role": "user", "content": "Hello"}]
FUNCTION = {
    "name": "f",
    "description": "does f",
    "parameters": {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}},
    "strict": True,
}
TOOLS = [{"type": "function", "function": FUNCTION}]
OLD, NEW = "gemini-2.5-flash", "gemini-3.1-pro"
PNG = "data:image/png;base64,AAAA"


def asked(model: str = NEW, **fields: Any) -> dict[str, Any]:
    return content_request({"model": model, "messages": HELLO, **fields})


def call(id_: str, arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        ({}, None),
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"maxOutputTokens": 6}),
        ({"temperature": 0, "top_p": 0.5, "top_k": 3}, {"temperature": 0, "topP": 0.5, "topK": 3}),
        (
            {"seed": 7, "presence_penalty": 0.1, "frequency_penalty": -0.1},
            {"seed": 7, "presencePenalty": 0.1, "frequencyPenalty": -0.1},
        ),
        ({"stop": "a"}, {"stopSequences": ["a"]}),
        ({"stop": ["a", "", "b"]}, {"stopSequences": ["a", "b"]}),
        ({"n": 1, "modalities": ["text"], "logprobs": False}, None),
        ({"n": 3}, {"candidateCount": 3}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 2}, {"responseLogprobs": True, "logprobs": 2}),
        ({"top_logprobs": 2}, None),
        ({"logit_bias": {}, "x_vendor": 1, "store": True, "user": "u", "parallel_tool_calls": False}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object", "x": 1}}}},
            {
                "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object", "description": '{"x": 1}'},
            },
        ),
    ],
)
def test_fields(fields: dict[str, Any], config: dict[str, Any] | None) -> None:
    sent = asked(**fields)
    assert sent.pop("generationConfig", None) == config
    assert sent == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        (NEW, "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        (NEW, "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        (NEW, "none", {"thinkingLevel": "LOW"}),
        ("gemini-3-flash", "none", {"thinkingLevel": "MINIMAL"}),
        ("gemini-flash-latest", "max", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        (OLD, "none", {"thinkingBudget": 0}),
        (OLD, "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
    ],
)
def test_how_much_to_think_is_told_as_the_model_takes_it(model: str, effort: str, config: dict[str, Any]) -> None:
    assert asked(model, reasoning_effort=effort)["generationConfig"]["thinkingConfig"] == config


def test_a_model_that_does_not_think_is_not_told_to() -> None:
    body = {"model": "gemma", "messages": HELLO, "reasoning_effort": "high"}
    assert "generationConfig" not in content_request(body, {"gemma"})


NAMED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"mode": "AUTO"}),
        ({"tool_choice": "none"}, {"mode": "NONE"}),
        ({"tool_choice": "required"}, {"mode": "ANY"}),
        ({"tool_choice": NAMED}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_tools(fields: dict[str, Any], choice: dict[str, Any] | None) -> None:
    sent = asked(tools=TOOLS, **fields)
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": '{"minLength": 1}'}}}
    declared = {"name": "f", "description": "does f", "parametersJsonSchema": schema}
    assert sent["tools"] == [{"functionDeclarations": [declared]}]
    assert sent.get("toolConfig") == (None if choice is None else {"functionCallingConfig": choice})


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"type": "object", "properties": {}}])
def test_a_tool_without_parameters_declares_none(parameters: Any) -> None:
    sent = asked(tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    assert sent["tools"] == [{"functionDeclarations": [{"name": "f", "description": ""}]}]


def test_conversation_with_everything_in_it() -> None:
    sent = asked(
        OLD,
        messages=[
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "text", "text": ""},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                    {"type": "file", "file": {"filename": "a", "file_data": "data:application/pdf;base64,JVBE"}},
                    {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                ],
            },
            {"role": "user", "content": "And this."},
            {"role": "assistant", "content": "Well.", "tool_calls": [call("a", '{"a": [1]}'), call("b", "")]},
            {"role": "user", "content": "Well?"},
            {"role": "tool", "tool_call_id": "b", "content": '{"rain": true}'},
            {"role": "tool", "tool_call_id": "a", "content": "done"},
            {"role": "system", "content": "Three."},
            {"role": "assistant", "content": "", "refusal": "No."},
        ],
    )
    assert sent["systemInstruction"] == {"parts": [{"text": "One.\n\nTwo.\n\nThree."}]}
    assert sent["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Look:"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
                {"text": "And this."},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "Well."},
                {"functionCall": {"id": "a", "name": "f", "args": {"a": [1]}}},
                {"functionCall": {"id": "b", "name": "f", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "b", "name": "f", "response": {"rain": True}}},
                {"functionResponse": {"id": "a", "name": "f", "response": {"output": "done"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "Well?"}]},
        {"role": "model", "parts": [{"text": "No."}]},
    ]


def signed(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}}


@pytest.mark.parametrize(
    ("model", "calls", "signatures"),
    [
        (NEW, [call("a", **signed("S")), call("b")], ["S", None]),
        (NEW, [call("a"), call("b", **signed("S"))], ["skip_thought_signature_validator", "S"]),
        (NEW, [call("a"), call("b")], ["skip_thought_signature_validator", None]),
        (OLD, [call("a"), call("b", **signed("S"))], [None, "S"]),
        (OLD, [call("a", extra_content={"google": 5})], [None]),
    ],
)
def test_signatures_go_back_where_they_came_from(model: str, calls: list[Any], signatures: list[str | None]) -> None:
    """Calls of other models have none, and new models refuse the first one without."""
    sent = asked(model, messages=[*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}])
    assert [part.get("thoughtSignature") for part in sent["contents"][1]["parts"]] == signatures


@pytest.mark.parametrize(
    ("content", "parts"),
    [("Yes.", [{"text": "Yes.", "thoughtSignature": "S"}]), (None, [{"text": "", "thoughtSignature": "S"}])],
)
def test_the_signature_of_words_goes_back_with_them(content: Any, parts: Any) -> None:
    sent = asked(messages=[*HELLO, {"role": "assistant", "content": content, **signed("S")}])
    assert sent["contents"][1]["parts"] == parts


def test_a_tool_may_answer_with_an_image() -> None:
    result = [{"type": "text", "text": "seen"}, {"type": "image_url", "image_url": PNG}]
    messages = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call("a")]},
        {"role": "tool", "tool_call_id": "a", "content": result},
    ]
    response = asked(messages=messages)["contents"][2]["parts"][0]["functionResponse"]
    assert response["response"] == {"output": "seen"}
    assert response["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 9}, "n"),
        ({"n": "2"}, "n"),
        ({"temperature": "API key not valid"}, "temperature"),
        ({"seed": True}, "seed"),
        ({"logprobs": True, "top_logprobs": "2"}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [FUNCTION]}, "functions"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": 5}, "stop"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"tools": "f"}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0]"),
        ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": user({"type": "video_url", "video_url": {}})}, "messages[0].content[0]"),
        ({"messages": user({"type": "file", "file": {"file_id": "f"}})}, "messages[0].content[0]"),
        ({"messages": user({"type": "image_url", "image_url": "ftp://x"})}, "messages[0].content[0].image_url.url"),
        ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [call("")]}]}, "messages[0].tool_calls[0].id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [call("a", "{")]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": PNG}]}]},
            "messages[0].content",
        ),
    ],
)
def test_what_is_refused_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        asked(**fields)
    assert caught.value.param == param
    assert param.partition("[")[0] in str(caught.value)


def outcome(body: dict[str, Any]) -> str:
    """What is sent, as JSON, or the field that is refused."""
    try:
        return json.dumps(content_request(body))
    except Untranslatable as error:
        return error.param


_LEAF = st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["", "x", "text", "user", "function", "{"])
_KEY = st.sampled_from(["type", "role", "content", "text", "function", "tool_calls", "id", "name", "parameters"])
_JSON = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEY, inner, max_size=3), max_leaves=8
)
_NAMES = ["n", "max_tokens", "stop", "tools", "tool_choice", "response_format", "reasoning_effort", "modalities"]
_FIELDS = st.sampled_from([*_NAMES, "logprobs", "top_logprobs", "temperature", "parallel_tool_calls"])
_MESSAGE = st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "tool_call_id"]), _JSON, max_size=3)


@_PATIENT
@given(body=st.dictionaries(_FIELDS, _JSON, max_size=4), messages=st.just(HELLO) | st.lists(_MESSAGE, max_size=3))
def test_nonsense_is_refused_or_passed_on_and_breaks_nothing(body: dict[str, Any], messages: list[Any]) -> None:
    assert outcome({"model": NEW, "messages": messages, **body})


_SAID = st.text(max_size=3)
_TURN = st.one_of(
    st.builds(lambda text: [{"role": "user", "content": text}], _SAID),
    st.builds(lambda text: [{"role": "assistant", "content": text}], _SAID),
    st.builds(
        lambda n, between: [
            {"role": "assistant", "content": None, "tool_calls": [call(str(i)) for i in range(n)]},
            *({"role": "user", "content": text} for text in between),
            *({"role": "tool", "tool_call_id": str(i), "content": "r"} for i in range(n)),
        ],
        st.integers(1, 3),
        st.lists(_SAID, max_size=1),
    ),
)


@_PATIENT
@given(turns=st.lists(_TURN, max_size=6))
def test_results_follow_their_calls_and_nothing_is_lost(turns: list[list[dict[str, Any]]]) -> None:
    messages = [message for turn in turns for message in turn]
    contents = content_request({"model": NEW, "messages": messages})["contents"]
    assert all(content["parts"] for content in contents)
    said = [m["content"] for m in messages if m["role"] in ("user", "assistant") and m["content"]]
    assert sorted(p["text"] for c in contents for p in c["parts"] if "text" in p) == sorted(said)
    for number, content in enumerate(contents):
        calls = [p["functionCall"]["id"] for p in content["parts"] if "functionCall" in p]
        if calls:
            results = contents[number + 1]["parts"]
            assert [p["functionResponse"]["id"] for p in results] == calls
