"""A chat completion -> a message."""

import json
import uuid
from typing import Any

from aiapp_service.llm.chat_answer import thoughts_in

_STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use", "content_filter": "refusal"}


def stop_of(choice: dict[str, Any], *, calls: bool) -> dict[str, Any]:
    """Why it ended, with tool calls or without. Only some servers tell the stop sequence that they met."""
    met = choice.get("stop_reason")
    if choice.get("finish_reason") == "stop" and isinstance(met, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": met}
    if calls and choice.get("finish_reason") == "stop":
        # What some servers say of every answer; clients would not run the tools.
        return {"stop_reason": "tool_use", "stop_sequence": None}
    return {"stop_reason": _STOPS.get(str(choice.get("finish_reason")), "end_turn"), "stop_sequence": None}


def usage_of(usage: Any) -> dict[str, int]:
    """Tokens as Anthropic counts them: those read from and written to a cache are not part of the input."""
    fields = usage if isinstance(usage, dict) else {}
    details = fields.get("prompt_tokens_details") or {}
    asked, read = fields.get("prompt_tokens") or 0, details.get("cached_tokens") or 0
    written = details.get("cache_write_tokens") or 0
    return {
        "input_tokens": max(asked - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": fields.get("completion_tokens") or 0,
    }


def id_of(document: dict[str, Any]) -> str:
    """The identifier of the message, made of the completion's where it has one."""
    given = str(document.get("id") or uuid.uuid4().hex)
    return given if given.startswith("msg_") else f"msg_{given.removeprefix('chatcmpl-')}"


def call_id(given: Any) -> str:
    """The identifier of a tool call; some servers give none."""
    return given if isinstance(given, str) and given else f"toolu_{uuid.uuid4().hex}"


def message_of(completion: dict[str, Any], *, thoughts: bool) -> dict[str, Any]:
    """The message, with what was thought where the client wants to see it."""
    choice = completion["choices"][0]
    said = choice["message"]
    content: list[dict[str, Any]] = []
    if thoughts and (thought := thoughts_in(said)):
        content.append({"type": "thinking", "thinking": thought, "signature": ""})
    if text := said.get("content") or said.get("refusal"):
        content.append({"type": "text", "text": text})
    content += [_use(call) for call in said.get("tool_calls") or []]
    return {
        "id": id_of(completion),
        "type": "message",
        "role": "assistant",
        "model": completion.get("model"),
        "content": content,
        **stop_of(choice, calls=bool(said.get("tool_calls"))),
        "usage": usage_of(completion.get("usage")),
    }


def _use(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    try:
        given = json.loads(function.get("arguments") or "{}")
    except ValueError:
        # The model has made a mistake: the client shall see it, and may tell the model.
        given = None
    return {
        "type": "tool_use",
        "id": call_id(call.get("id")),
        "name": function["name"],
        "input": given if isinstance(given, dict) else {"arguments": function.get("arguments")},
    }
