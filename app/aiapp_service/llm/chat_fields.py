"""Fields of a chat request as every translation reads them: checked, and refused by name where they are wrong."""

import json
from collections.abc import Mapping
from typing import Any

from aiapp_service.llm.translated import Untranslatable


def most_tokens(body: Mapping[str, Any]) -> int | None:
    """The limit of the answer; None where there is none.

    Raises:
        Untranslatable: it is no number of tokens.
    """
    for name in ("max_completion_tokens", "max_tokens"):
        given = body.get(name)
        if given is None:
            continue
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise Untranslatable(f"{name} has to be a number of at least 1", name)
        return given
    return None


def stop_texts(stop: Any) -> list[str]:
    """What ends the answer.

    Raises:
        Untranslatable: it is neither a text nor a list.
    """
    given = [stop] if isinstance(stop, str) else stop
    if given is not None and not isinstance(given, list):
        raise Untranslatable("stop has to be a text or a list of texts", "stop")
    return [text for text in given or [] if isinstance(text, str) and text]


def answer_format(given: Any) -> tuple[str, dict[str, Any]]:
    """The kind of `response_format`, text where there is none, and the schema of a json_schema.

    Raises:
        Untranslatable: it is of another kind, or has no schema.
    """
    kind = given.get("type") if isinstance(given, dict) else None
    if given is None or kind == "text":
        return "text", {}
    if kind == "json_object":
        return "json_object", {}
    wanted = given.get("json_schema") if isinstance(given, dict) else None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict):
        message = "response_format has to be text, json_object or json_schema with a schema"
        raise Untranslatable(message, "response_format")
    return "json_schema", schema


def function_call(call: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of one of an assistant's tool calls.

    Raises:
        Untranslatable: it is no call of a function, or its arguments are no object.
    """
    function = call.get("function") if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise Untranslatable(f"{where} has to be the call of a function", where)
    arguments = function.get("arguments") or "{}"
    try:
        given = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        given = None
    if not isinstance(given, dict):
        param = f"{where}.function.arguments"
        raise Untranslatable(f"{param} has to be the text of a JSON object", param)
    return name, given


def tool_calls(message: Mapping[str, Any], where: str) -> list[Any]:
    """The calls of an assistant's message.

    Raises:
        Untranslatable: they are no list.
    """
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise Untranslatable(f"{where}.tool_calls has to be a list", f"{where}.tool_calls")
    return calls


def data_url(url: str, where: str) -> tuple[str, str]:
    """Media type and base64 of `data:TYPE;base64,DATA`.

    Raises:
        Untranslatable: it is no such URL.
    """
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, _, encoding = head.partition(";")
    if not url.startswith("data:") or not comma or encoding.rpartition(";")[2] != "base64":
        raise Untranslatable(f"{where} has to be an http(s) URL or data:TYPE;base64,DATA", where)
    return media_type, data
