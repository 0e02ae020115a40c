"""The fields of a request for a response that chats spell differently, each translated by a function of its own."""

from collections.abc import Mapping
from typing import Any

from aiapp_service.http.errors import ApiError, bad_request

Fields = dict[str, Any]

_LOGPROBS = "message.output_text.logprobs"
_RESULTS = "file_search_call.results"
_SEARCH = "file_search"


def refuse_unsupported(body: Fields) -> None:
    """Raise ApiError for what would have to be done by OpenAI itself, and must not be ignored in silence."""
    refuse_elsewhere(body)
    if body.get("context_management"):
        raise _unsupported("context_management", "context_management is not supported: send less, or begin anew")
    if body.get("truncation") not in (None, "disabled"):
        raise _unsupported("truncation", "truncation is not supported: what is too long for the model is refused")


def refuse_elsewhere(body: Fields) -> None:
    """Raise ApiError for what would have to be kept at a provider: conversations are ours."""
    for field, remedy in (
        ("background", "send the request and wait, or stream it"),
        ("conversation", "use previous_response_id"),
    ):
        if body.get(field):
            raise _unsupported(field, f"{field} is not supported: {remedy}")
    if body.get("n") not in (None, 1):
        raise _unsupported("n", "n is not supported: a response is one answer; chat completions can give several")


def refuse_foreign(body: Mapping[str, Any]) -> None:
    """Raise ApiError where a request names something that is kept at a provider, in the one account of all tenants."""
    given, listed = body.get("input"), body.get("tools")
    for number, item in enumerate(given if isinstance(given, list) else ()):
        for field in ("content", "output"):
            parts = item.get(field) if isinstance(item, dict) else None
            for part_number, part in enumerate(parts if isinstance(parts, list) else ()):
                if isinstance(part, dict) and part.get("file_id"):
                    place = f"input[{number}].{field}[{part_number}].file_id"
                    raise _unsupported(place, f"{place} is not supported: send the content itself")
    for number, tool in enumerate(listed if isinstance(listed, list) else ()):
        if found := _kept_there(tool):
            place = f"tools[{number}].{found}"
            raise _unsupported(place, f"{place} is not supported: files and containers of a provider are not shared")


def _kept_there(tool: Any) -> str:
    """Where a tool names files or a container that is there already; empty: nowhere."""
    if not isinstance(tool, dict):
        return ""
    if isinstance(tool.get("container"), str):
        return "container"
    for field in ("container", "environment", "input_image_mask"):
        inner = tool.get(field)
        for name in ("file_ids", "file_id", "container_id"):
            if isinstance(inner, dict) and inner.get(name):
                return f"{field}.{name}"
    return ""


def tools(body: Fields) -> Fields:
    """`tools` and `tool_choice`.

    Raises:
        ApiError: a tool is none of the client's functions.
    """
    given = body.get("tools")
    if given is not None and not isinstance(given, list):
        raise bad_request("tools has to be a list", "tools")
    if not given:
        return {}
    functions = [_function(tool, f"tools[{number}]") for number, tool in enumerate(given)]
    choice = body.get("tool_choice")
    if choice is None or choice in ("auto", "none", "required"):
        return {"tools": functions} if choice is None else {"tools": functions, "tool_choice": choice}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == _SEARCH:
        return {"tools": functions, "tool_choice": choice}
    if kind == "function":
        return {"tools": functions, "tool_choice": {"type": "function", "function": {"name": choice.get("name")}}}
    if kind == "allowed_tools":
        return _allowed(functions, choice)
    message = "tool_choice has to be auto, none, required, a function or allowed_tools with functions"
    raise bad_request(message, "tool_choice", "unsupported_value")


def _function(tool: Any, place: str) -> Fields:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind == _SEARCH:
        # It is looked at where it is run.
        return dict(tool)
    if kind != "function":
        message = f"{place}.type: {str(kind)[:50]!r} is not supported; there are function and file_search"
        raise _unsupported(f"{place}.type", message)
    if not isinstance(tool.get("name"), str):
        raise bad_request(f"{place}.name is required, and has to be a string", f"{place}.name")
    known = {name: tool[name] for name in ("name", "description", "parameters", "strict") if tool.get(name) is not None}
    return {"type": "function", "function": known}


def _allowed(functions: list[Fields], choice: Fields) -> Fields:
    """The model is told of these functions alone: few backends know the word."""
    listed = choice.get("tools")
    names = {tool.get("name") for tool in listed if isinstance(tool, dict)} if isinstance(listed, list) else set()
    allowed = [function for function in functions if function.get("function", {}).get("name") in names]
    if not allowed:
        raise bad_request("tool_choice.tools has to name at least one of tools", "tool_choice.tools")
    mode = choice.get("mode", "auto")
    if mode not in ("auto", "required"):
        raise bad_request("tool_choice.mode has to be auto or required", "tool_choice.mode")
    return {"tools": allowed, "tool_choice": mode}


def text(body: Fields) -> Fields:
    """`text`: the form of the answer, and how wordy it is."""
    given = _object(body, "text")
    wanted: Fields = {} if given.get("verbosity") is None else {"verbosity": given["verbosity"]}
    form = given.get("format")
    if form is None:
        return wanted
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "text":
        return wanted
    if kind == "json_object":
        return {**wanted, "response_format": {"type": "json_object"}}
    if kind != "json_schema":
        message = "text.format.type has to be one of text, json_object, json_schema"
        raise bad_request(message, "text.format.type", "unsupported_value")
    for name, type_, what in (("name", str, "a string"), ("schema", dict, "an object")):
        if not isinstance(form.get(name), type_):
            raise bad_request(f"text.format.{name} is required, and has to be {what}", f"text.format.{name}")
    names = ("name", "description", "schema", "strict")
    schema = {name: form[name] for name in names if form.get(name) is not None}
    return {**wanted, "response_format": {"type": "json_schema", "json_schema": schema}}


def reasoning(body: Fields) -> Fields:
    """`reasoning`: how hard the model shall think. A summary comes where the backend tells what it thought."""
    effort = _object(body, "reasoning").get("effort")
    return {} if effort is None else {"reasoning_effort": effort}


def logprobs(body: Fields) -> Fields:
    """`top_logprobs`, and `include` where it asks for them; the rest of it is about tools that are not there."""
    most, include = body.get("top_logprobs"), body.get("include")
    if not most and not (isinstance(include, list) and _LOGPROBS in include):
        return {}
    return {"logprobs": True, "top_logprobs": most} if most else {"logprobs": True}


def wants_results(body: Fields) -> bool:
    """Whether `include` asks for what searches have found."""
    include = body.get("include")
    return isinstance(include, list) and _RESULTS in include


def _object(body: Fields, name: str) -> Fields:
    given = body.get(name)
    if given is not None and not isinstance(given, dict):
        raise bad_request(f"{name} has to be an object", name)
    return given or {}


def _unsupported(field: str, message: str) -> ApiError:
    return bad_request(message, field, "unsupported_parameter")
