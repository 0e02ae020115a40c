"""Chat messages -> the system instruction and contents."""

import json
from collections.abc import Mapping
from typing import Any

from aiapp_service.llm.chat_fields import function_call, tool_calls
from aiapp_service.llm.google.content import Part, parts_of, text_of
from aiapp_service.llm.translated import Untranslatable

Content = dict[str, Any]
# The API's own word for calls that another model has made, or whose signature a client has lost.
UNSIGNED = "skip_thought_signature_validator"


def conversation(messages: Any, *, signed: bool) -> tuple[str, list[Content]]:
    """The system instruction and the contents; with `signed` the model wants signatures of tool calls back.

    System messages from anywhere are put together at the top. Messages of one side that follow one another become one
    content. Results of tools are one of their own, right after the calls, as the API wants it.

    Raises:
        Untranslatable: a message says what the API has no words for.
    """
    system: list[str] = []
    contents: list[Content] = []
    names: dict[str, str] = {}  # of called functions, by the identifier of the call
    for number, message in enumerate(messages if isinstance(messages, list) else []):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role in ("system", "developer"):
            system.append(text_of(message.get("content"), f"{where}.content"))
        elif role == "user":
            _say(contents, "user", parts_of(message.get("content"), f"{where}.content"))
        elif role == "assistant":
            _say(contents, "model", _spoken(message, where, names, signed=signed))
        elif role == "tool":
            _respond(contents, _response(message, where, names))
        else:
            raise Untranslatable(f"{where}.role has to be system, developer, user, assistant or tool", f"{where}.role")
    return "\n\n".join(text for text in system if text), contents


def _say(contents: list[Content], role: str, parts: list[Part]) -> None:
    if not parts:
        return
    if contents and contents[-1]["role"] == role and not _responds(contents[-1]):
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


def _respond(contents: list[Content], part: Part) -> None:
    """To the last calls, whatever the user has said in between."""
    after = next((n for n in range(len(contents), 0, -1) if contents[n - 1]["role"] == "model"), len(contents))
    if after < len(contents) and _responds(contents[after]):
        contents[after]["parts"].append(part)
    else:
        contents.insert(after, {"role": "user", "parts": [part]})


def _responds(content: Content) -> bool:
    return any("functionResponse" in part for part in content["parts"])


def _spoken(message: Mapping[str, Any], where: str, names: dict[str, str], *, signed: bool) -> list[Part]:
    parts = parts_of(message.get("content"), f"{where}.content")
    if not parts:
        parts = parts_of(message.get("refusal"), f"{where}.refusal")
    if signature := _signature(message):
        # It belongs to the end of what was said.
        parts = [*parts[:-1], {**(parts[-1] if parts else {"text": ""}), "thoughtSignature": signature}]
    calls: list[Part] = []
    for number, call in enumerate(tool_calls(message, where)):
        calls.append(_call(call, f"{where}.tool_calls[{number}]", names))
    if signed and calls and "thoughtSignature" not in calls[0]:
        calls[0]["thoughtSignature"] = UNSIGNED
    return parts + calls


def _call(call: Any, where: str, names: dict[str, str]) -> Part:
    name, arguments = function_call(call, where)
    id_ = call.get("id")
    if not isinstance(id_, str) or not id_:
        raise Untranslatable(f"{where}.id is required", f"{where}.id")
    names[id_] = name
    signature = _signature(call)
    called = {"functionCall": {"id": id_, "name": name, "args": arguments}}
    return {**called, "thoughtSignature": signature} if signature else called


def _signature(said: Mapping[str, Any]) -> str | None:
    extra = said.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) and signature else None


def _response(message: Mapping[str, Any], where: str, names: Mapping[str, str]) -> Part:
    id_ = message.get("tool_call_id")
    name = names.get(id_) if isinstance(id_, str) else None
    if name is None:
        param = f"{where}.tool_call_id"
        raise Untranslatable(f"{param} has to be the id of a tool call in an earlier message", param)
    parts = parts_of(message.get("content"), f"{where}.content")
    text = "\n\n".join(part["text"] for part in parts if "text" in part)
    response: dict[str, Any] = {"id": id_, "name": name, "response": _object(text)}
    if media := [part for part in parts if "text" not in part]:
        response["parts"] = media
    return {"functionResponse": response}


def _object(text: str) -> dict[str, Any]:
    """The API wants an object; what is none is its `output`, as the API calls it."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    return given if isinstance(given, dict) else {"output": text}
