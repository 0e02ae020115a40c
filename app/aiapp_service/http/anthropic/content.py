"""Content blocks -> parts of chat messages."""

import json
from typing import Any

from aiapp_service.http.errors import ApiError, bad_request

Block = dict[str, Any]
# What a model thought is of use only to the one that signed it.
_LEFT_OUT = ("thinking", "redacted_thinking")


def blocks_of(content: Any, where: str) -> list[Block]:
    """The blocks of `content`, of which a text is one.

    Raises:
        ApiError: it is neither.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise bad_request(f"{where}: has to be a text or a list of content blocks", where)
    for number, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise bad_request(f"{where}.{number}: has to be a content block with a type", f"{where}.{number}")
    return content


def text_of(content: Any, where: str) -> str:
    """The text of content that can be nothing else.

    Raises:
        ApiError: there is something else in it.
    """
    blocks = blocks_of(content, where)
    return "\n\n".join(_text(block, f"{where}.{number}") for number, block in enumerate(blocks))


def answer_of(content: Any, where: str) -> dict[str, Any]:
    """What the assistant said, as a chat message.

    Raises:
        ApiError: a block is of a kind that an assistant does not say here.
    """
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(blocks_of(content, where)):
        if block["type"] == "tool_use":
            calls.append(_call(block, f"{where}.{number}"))
        elif block["type"] not in _LEFT_OUT:
            texts.append(_text(block, f"{where}.{number}"))
    said = {"role": "assistant", "content": "".join(texts) or None}
    return {**said, "tool_calls": calls} if calls else said


def user_messages(content: Any, where: str) -> list[dict[str, Any]]:
    """What the user said, as chat messages: a message for each result of a tool, then one for all the rest.

    Raises:
        ApiError: a block is of a kind that cannot be passed on.
    """
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for number, block in enumerate(blocks_of(content, where)):
        place = f"{where}.{number}"
        if block["type"] != "tool_result":
            parts.append(_part(block, place))
            continue
        inner = [_part(b, place) for b in blocks_of(block.get("content") or "", f"{place}.content")]
        text = "\n\n".join(part["text"] for part in inner if part["type"] == "text")
        of = _string(block, "tool_use_id", place)
        results.append({"role": "tool", "tool_call_id": of, "content": text})
        # The result of a tool can only be text in a chat: the user shows the images.
        parts += [part for part in inner if part["type"] != "text"]
    if not parts:
        return results
    only_text = len(parts) == 1 and parts[0]["type"] == "text"
    return [*results, {"role": "user", "content": parts[0]["text"] if only_text else parts}]


def _part(block: Block, where: str) -> dict[str, Any]:
    kind = block["type"]
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _url(block, where)}}
    if kind == "document":
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "text":
            return {"type": "text", "text": _string(source, "data", f"{where}.source")}
        name = block.get("title") or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": _url(block, where)}}
    return {"type": "text", "text": _text(block, where)}


def _url(block: Block, where: str) -> str:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    if isinstance(source, dict) and kind == "url":
        return _string(source, "url", f"{where}.source")
    if isinstance(source, dict) and kind == "base64":
        media_type = _string(source, "media_type", f"{where}.source")
        return f"data:{media_type};base64,{_string(source, 'data', f'{where}.source')}"
    raise bad_request(f"{where}.source: has to be of type base64 or url", f"{where}.source")


def _call(block: Block, where: str) -> dict[str, Any]:
    given = block.get("input")
    if not isinstance(given, dict):
        raise bad_request(f"{where}.input: has to be an object", f"{where}.input")
    function = {"name": _string(block, "name", where), "arguments": json.dumps(given, ensure_ascii=False)}
    return {"id": _string(block, "id", where), "type": "function", "function": function}


def _text(block: Block, where: str) -> str:
    if block["type"] != "text":
        raise _unknown(block, where)
    return _string(block, "text", where)


def _string(fields: dict[str, Any], name: str, where: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise bad_request(f"{where}.{name}: is required, and has to be a text", f"{where}.{name}")
    return value


def _unknown(block: Block, where: str) -> ApiError:
    return bad_request(f"{where}: content blocks of type {block['type'][:50]} are not taken here", where)
