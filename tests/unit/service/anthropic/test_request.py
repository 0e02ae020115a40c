"""Requests for chat completions as Anthropic's API takes them."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiapp_service.llm.anthropic.models import Abilities
from aiapp_service.llm.anthropic.request import message_request
from aiapp_service.llm.translated import Untranslatable

_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
HELLO = [{"role": "user", "content": "Hello"}]
FUNCTION = {"name": "f", "description": "does f", "parameters": {"type": "object"}, "strict": True}
TOOLS = [{"type": "function", "function": FUNCTION}]
PDF = "data:application/pdf;base64,JVBERi0="


def asked(**fields: Any) -> dict[str, Any]:
    return message_request({"model": "m", "messages": HELLO, **fields})


def call(id_: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, {"max_tokens": 16384}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"max_tokens": None, "n": 1, "logprobs": False, "modalities": ["text"]}, {"max_tokens": 16384}),
        ({"stop": "a"}, {"stop_sequences": ["a"]}),
        ({"stop": ["a", "\n", " ", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": None}, {}),
        ({"stream": True}, {"stream": True}),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"user": "u", "safety_identifier": "s"}, {"metadata": {"user_id": "s"}}),
        ({"temperature": 2, "top_p": 0.5, "seed": 1, "logit_bias": {}, "x_vendor": 1, "store": True}, {}),
        ({"reasoning_effort": "none"}, {"output_config": {"effort": "low"}}),
        ({"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}),
        ({"reasoning_effort": "xhigh"}, {"output_config": {"effort": "xhigh"}, "thinking": {"type": "adaptive"}}),
        ({"prompt_cache_key": "k"}, {"cache_control": {"type": "ephemeral"}}),
        ({"prompt_cache_retention": "24h"}, {"cache_control": {"type": "ephemeral"}}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"system": "Answer with one JSON object and nothing else."}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
            {
                "output_config": {
                    "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
                }
            },
        ),
    ],
)
def test_fields(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    always = {"model": "m", "max_tokens": 16384}
    turns = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    assert asked(**fields) == {**always, "messages": turns, **sent}


TOOL = {"name": "f", "description": "does f", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_tools(fields: dict[str, Any], choice: dict[str, Any] | None) -> None:
    sent = asked(tools=TOOLS, **fields)
    assert sent["tools"] == [TOOL]
    assert sent.get("tool_choice") == choice


def test_a_tool_without_parameters_takes_none() -> None:
    sent = asked(tools=[{"type": "function", "function": {"name": "f"}}])
    assert sent["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


def test_forced_tools_go_without_thinking_which_excludes_them() -> None:
    assert "thinking" not in asked(tools=TOOLS, tool_choice="required", reasoning_effort="high")
    assert "thinking" in asked(tools=TOOLS, tool_choice="auto", reasoning_effort="high")


@pytest.mark.parametrize(
    ("abilities", "effort", "sent"),
    [
        (Abilities(efforts=frozenset({"low", "high"})), "max", {"effort": "high"}),
        (Abilities(efforts=frozenset({"low", "high"})), "low", {"effort": "low"}),
        (Abilities(efforts=frozenset()), "high", None),
    ],
)
def test_effort_is_what_the_model_knows(abilities: Abilities, effort: str, sent: dict[str, Any] | None) -> None:
    body = {"model": "m", "messages": HELLO, "reasoning_effort": effort}
    assert message_request(body, abilities).get("output_config") == sent


def test_the_default_limit_is_not_more_than_the_model_takes() -> None:
    body = {"model": "m", "messages": HELLO}
    assert message_request(body, Abilities(most_tokens=8192))["max_tokens"] == 8192
    assert message_request(body, Abilities(most_tokens=128_000))["max_tokens"] == 16384


def test_conversation_with_everything_in_it() -> None:
    sent = asked(
        messages=[
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "text", "text": ""},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
                ],
            },
            {"role": "user", "content": "And this."},
            {"role": "assistant", "content": None, "tool_calls": [call("functions.f:0", '{"a": [1]}'), call("b", "")]},
            {"role": "user", "content": "Well?"},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": "done"},
            {"role": "tool", "tool_call_id": "b", "content": ""},
            {"role": "system", "content": "Three."},
            {"role": "assistant", "content": "", "refusal": "No."},
        ]
    )
    assert sent["system"] == "One.\n\nTwo.\n\nThree."
    assert sent["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                },
                {"type": "text", "text": "And this."},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {"a": [1]}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "functions_f_0",
                    "content": [{"type": "text", "text": "done"}],
                },
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "text", "text": "Well?"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "No."}]},
    ]


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [FUNCTION]}, "functions"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"stop": 5}, "stop"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning_effort": ["low"]}, "reasoning_effort"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"tools": {}, "tool_choice": "auto"}, None),
        ({"tools": "f"}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0]"),
        ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": user({"type": "input_audio", "input_audio": {}})}, "messages[0].content[0]"),
        ({"messages": user({"type": "file", "file": {"file_id": "f"}})}, "messages[0].content[0]"),
        (
            {"messages": user("x", {"type": "image_url", "image_url": {"url": "ftp://x"}})},
            "messages[0].content[0]",
        ),
        (
            {"messages": user({"type": "image_url", "image_url": {"url": "data:image/png,x"}})},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [call("a", "{")]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages[0].tool_calls"),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "https://x"}]}]},
            "messages[0].content",
        ),
    ],
)
def test_what_is_refused_is_named(fields: dict[str, Any], param: str | None) -> None:
    if param is None:
        assert asked(**fields)
        return
    with pytest.raises(Untranslatable) as caught:
        asked(**fields)
    assert caught.value.param == param
    assert param.partition("[")[0] in str(caught.value)


def outcome(body: dict[str, Any]) -> str:
    """What is sent, as JSON, or the field that is refused."""
    try:
        return json.dumps(message_request(body))
    except Untranslatable as error:
        return error.param


_LEAF = st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["", "x", "text", "user", "function", "{"])
_KEY = st.sampled_from(["type", "role", "content", "text", "function", "tool_calls", "id", "name"])
_JSON = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEY, inner, max_size=3), max_leaves=8
)
_NAMES = ["n", "max_tokens", "stop", "tools", "tool_choice", "response_format", "reasoning_effort", "modalities"]
_FIELDS = st.sampled_from([*_NAMES, "user", "stream_options", "parallel_tool_calls"])
_MESSAGE = st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "tool_call_id"]), _JSON, max_size=3)


@_PATIENT
@given(body=st.dictionaries(_FIELDS, _JSON, max_size=4), messages=st.just(HELLO) | st.lists(_MESSAGE, max_size=3))
def test_nonsense_is_refused_or_passed_on_and_breaks_nothing(body: dict[str, Any], messages: list[Any]) -> None:
    assert outcome({"model": "m", "messages": messages, **body})


_SAID = st.text(max_size=3)
_MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": _SAID}),
        st.builds(lambda text: {"role": "tool", "tool_call_id": "c", "content": text}, _SAID),
        st.builds(
            lambda n: {"role": "assistant", "content": None, "tool_calls": [call(str(i)) for i in range(n)]},
            st.integers(1, 3),
        ),
    ),
    max_size=8,
)


@_PATIENT
@given(messages=_MESSAGES)
def test_turns_alternate_and_nothing_is_lost(messages: list[dict[str, Any]]) -> None:
    sent = message_request({"model": "m", "messages": messages})
    turns = sent["messages"]
    assert all(a["role"] != b["role"] for a, b in pairwise(turns))
    blocks = [block for turn in turns for block in turn["content"]]
    assert all(turn["content"] for turn in turns)
    assert all(block.get("text") != "" for block in blocks)
    results = [b for b in blocks if b["type"] == "tool_result"]
    assert len(results) == sum(m["role"] == "tool" for m in messages)
    assert sum(b["type"] == "tool_use" for b in blocks) == sum(len(m.get("tool_calls", ())) for m in messages)
    said = [m["content"] for m in messages if m["role"] in ("user", "assistant") and m["content"]]
    assert sorted(b["text"] for b in blocks if b["type"] == "text") == sorted(said)
    for turn in turns:
        kinds = [block["type"] == "tool_result" for block in turn["content"]]
        assert kinds == sorted(kinds, reverse=True), "results of tools come first"
