"""Chat messages -> the system prompt and turns that alternate."""

import re
from typing import Any

from aiapp_service.llm.anthropic.content import Block, blocks_of, text_of
from aiapp_service.llm.chat_fields import function_call, tool_calls
from aiapp_service.llm.translated import Untranslatable

Turn = dict[str, Any]
# Other backends make identifiers of other characters; both ends of a call get the same one.
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def conversation(messages: Any) -> tuple[str, list[Turn]]:
    """The system prompt and the turns.

    System messages from anywhere are put together at the top: not every model takes them in between. Messages of
    one side that follow one another become one turn, in which results of tools come first, as the API wants it.

    Raises:
        Untranslatable: a message says what the API has no words for.
    """
    system: list[str] = []
    turns: list[Turn] = []
    for number, message in enumerate(messages if isinstance(messages, list) else []):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role in ("system", "developer"):
            system.append(text_of(message.get("content"), f"{where}.content"))
        elif role == "user":
            _say(turns, "user", blocks_of(message.get("content"), f"{where}.content"))
        elif role == "assistant":
            _say(turns, "assistant", _spoken(message, where))
        elif role == "tool":
            _say(turns, "user", [_result(message, where)])
        else:
            raise Untranslatable(f"{where}.role has to be system, developer, user, assistant or tool", f"{where}.role")
    for turn in turns:
        if turn["role"] == "user":
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return "\n\n".join(text for text in system if text), turns


def _say(turns: list[Turn], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _spoken(message: dict[str, Any], where: str) -> list[Block]:
    blocks = blocks_of(message.get("content"), f"{where}.content")
    if not blocks:
        blocks = blocks_of(message.get("refusal"), f"{where}.refusal")
    calls = tool_calls(message, where)
    return blocks + [_use(call, f"{where}.tool_calls[{number}]") for number, call in enumerate(calls)]


def _use(call: Any, where: str) -> Block:
    name, arguments = function_call(call, where)
    return {"type": "tool_use", "id": _id(call.get("id"), f"{where}.id"), "name": name, "input": arguments}


def _result(message: dict[str, Any], where: str) -> Block:
    blocks = blocks_of(message.get("content"), f"{where}.content")
    of = _id(message.get("tool_call_id"), f"{where}.tool_call_id")
    return {"type": "tool_result", "tool_use_id": of, **({"content": blocks} if blocks else {})}


def _id(given: Any, where: str) -> str:
    if not isinstance(given, str) or not given:
        raise Untranslatable(f"{where} is required", where)
    return _NOT_IN_IDS.sub("_", given)
