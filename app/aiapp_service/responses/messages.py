"""The items of a conversation -> the messages of a chat."""

from collections.abc import Sequence
from typing import Any

from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.responses.items import Item

Message = dict[str, Any]

# What a model thought or looked for, or a provider ran for it, is not told to it again: chats have no place for it.
SAID_ANEW = frozenset(
    {"reasoning", "file_search_call", "web_search_call", "code_interpreter_call", "mcp_list_tools", "mcp_call"}
)

# Not every model knows `developer`, and those that do take `system` for the same.
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def messages_of(items: Sequence[Any]) -> list[Message]:
    """The same conversation.

    Raises:
        ApiError: an item is wrong, or of a kind that chats do not have; names it as `input[N]`.
    """
    messages: list[Message] = []
    for number, item in enumerate(items):
        place = f"input[{number}]"
        if not isinstance(item, dict):
            raise bad_request(f"{place} has to be an object", place)
        _add(messages, item, place)
    return messages


def _add(messages: list[Message], item: Item, place: str) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        messages.append(_message(item, place))
    elif kind == "function_call":
        _caller(messages)["tool_calls"].append(_call(item, place))
    elif kind == "function_call_output":
        call_id = _text(item, "call_id", place)
        messages.append({"role": "tool", "tool_call_id": call_id, "content": _content(item, "output", place)})
    elif kind not in SAID_ANEW:
        known = "message, function_call, function_call_output, file_search_call, reasoning"
        raise _unsupported(f"{place}.type", kind, known)


def _message(item: Item, place: str) -> Message:
    role = _ROLES.get(_text(item, "role", place))
    if role is None:
        raise bad_request(f"{place}.role has to be one of {', '.join(_ROLES)}", f"{place}.role")
    return {"role": role, "content": _content(item, "content", place)}


def _caller(messages: list[Message]) -> Message:
    """The assistant's message that calls functions: what it said before and all calls of a turn are one message."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", [])
    return messages[-1]


def _call(item: Item, place: str) -> Item:
    function = {"name": _text(item, "name", place), "arguments": _text(item, "arguments", place)}
    return {"id": _text(item, "call_id", place), "type": "function", "function": function}


def _content(item: Item, field: str, place: str) -> str | list[Item]:
    content, place = item.get(field), f"{place}.{field}"
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise bad_request(f"{place} is required, and has to be a text or a list of parts", place)
    parts = [_part(part, f"{place}[{number}]") for number, part in enumerate(content)]
    # Every model takes a text; not every one takes parts from the assistant or a tool.
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: Any, place: str) -> Item:
    if not isinstance(part, dict):
        raise bad_request(f"{place} has to be an object", place)
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": _text(part, "text", place)}
    if kind == "refusal":
        return {"type": "refusal", "refusal": _text(part, "refusal", place)}
    if kind == "input_image":
        _refuse(part, "file_id", place, "give the image as image_url")
        image = {"url": _text(part, "image_url", place)}
        detail = part.get("detail")
        return {"type": "image_url", "image_url": {**image, "detail": detail} if detail else image}
    if kind == "input_file":
        _refuse(part, "file_id", place, "give the file as file_data")
        _refuse(part, "file_url", place, "give the file as file_data")
        name = part.get("filename")
        data = {"file_data": _text(part, "file_data", place)}
        return {"type": "file", "file": {"filename": name, **data} if name else data}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise _unsupported(f"{place}.type", kind, "input_text, input_image, input_file, input_audio, output_text, refusal")


def _text(fields: Item, name: str, place: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise bad_request(f"{place}.{name} is required, and has to be a string", f"{place}.{name}")
    return value


def _refuse(part: Item, field: str, place: str, remedy: str) -> None:
    if part.get(field):
        raise bad_request(f"{place}.{field} is not supported: {remedy}", f"{place}.{field}", "unsupported_parameter")


def _unsupported(place: str, kind: object, known: str) -> ApiError:
    return bad_request(f"{place}: {str(kind)[:50]!r} is not supported; known are {known}", place, "unsupported_value")
