"""Where texts stand in requests, answers and chunks of streams, in the shape of OpenAI's chat completions."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from aiapp_service.guardrails.passage import Place
from aiapp_service.llm.upstream import Endpoint

ANSWERS = "assistant"
# `reasoning` is what some servers call it.
_FIELDS = ("content", "refusal", "reasoning_content", "reasoning")
ARGUMENTS = "arguments"
_CUSTOM = "input"
# What items say: messages, reasoning, calls of functions and tools, and what came of them.
ITEM_FIELDS = ("content", "summary", ARGUMENTS, _CUSTOM, "code", "output")
PART_FIELDS = ("text", "refusal")
_FUNCTION_CALL = "function_call"


@dataclass(frozen=True)
class Slot:
    """A text, and where it can be replaced."""

    place: Place
    text: str
    holder: Any
    key: Any

    def put(self, text: str) -> None:
        """Replace it."""
        self.holder[self.key] = text


def of_request(body: dict[str, Any], endpoint: Endpoint) -> Iterator[Slot]:
    """All texts of a request, each with a place of its own."""
    numbers = count()
    if endpoint is Endpoint.EMBEDDINGS:
        given = body.get("input")
        entries = enumerate(given) if isinstance(given, list) else (("input", given),)
        for key, text in entries:
            if isinstance(text, str):
                yield Slot(Place("user", "content", next(numbers)), text, body if text is given else given, key)
        return
    found = _of_response(body) if endpoint is Endpoint.RESPONSES else _of_chat(body)
    for slot in found:
        yield Slot(Place(slot.place.role, slot.place.field, next(numbers)), slot.text, slot.holder, slot.key)


def _of_chat(body: dict[str, Any]) -> Iterator[Slot]:
    for message in body.get("messages") or ():
        if isinstance(message, dict):
            yield from of_message(message, str(message.get("role")))


def _of_response(body: dict[str, Any]) -> Iterator[Slot]:
    yield from _inside(body, "instructions", Place("system"))
    given = body.get("input")
    yield from _inside(body, "input", Place("user"))
    for item in given if isinstance(given, list) else ():
        if isinstance(item, dict):
            yield from of_item(item)


def of_item(item: dict[str, Any]) -> Iterator[Slot]:
    """The texts of an item of a response, or of a request for one. Each kind has its own of these fields."""
    kind = str(item.get("type", "message"))
    if kind.endswith("_output"):
        role = "tool"
    else:
        role = str(item.get("role")) if kind == "message" and "role" in item else ANSWERS
    for field in ITEM_FIELDS:
        value = item.get(field)
        if isinstance(value, str):
            yield Slot(Place(role, field), value, item, field)
        elif isinstance(value, list):
            # It is no part of what answers.
            yield from _parts(value, role, "reasoning" if kind == "reasoning" else field)


def of_message(message: dict[str, Any], role: str) -> Iterator[Slot]:
    """The texts of a message, or of the delta of one."""
    for field in _FIELDS:
        value = message.get(field)
        if isinstance(value, str):
            yield Slot(Place(role, field), value, message, field)
        elif isinstance(value, list):
            yield from _parts(value, role, field)
    calls = message.get("tool_calls")
    for number, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            index = call["index"] if isinstance(call.get("index"), int) else number
            yield from _inside(call.get("function"), ARGUMENTS, Place(role, ARGUMENTS, index))
            yield from _inside(call.get("custom"), _CUSTOM, Place(role, _CUSTOM, index))
    yield from _inside(message.get(_FUNCTION_CALL), ARGUMENTS, Place(role, _FUNCTION_CALL))


def delta_of(place: Place, text: str) -> dict[str, Any]:
    """A delta that adds `text` at `place`."""
    if place.field in (ARGUMENTS, _CUSTOM):
        kind = "function" if place.field == ARGUMENTS else "custom"
        return {"tool_calls": [{"index": place.number, kind: {place.field: text}}]}
    if place.field == _FUNCTION_CALL:
        return {_FUNCTION_CALL: {ARGUMENTS: text}}
    return {place.field: text}


def _parts(parts: list[Any], role: str, field: str) -> Iterator[Slot]:
    for number, part in enumerate(parts):
        for key in PART_FIELDS:
            yield from _inside(part, key, Place(role, field, number))


def _inside(holder: Any, key: str, place: Place) -> Iterator[Slot]:
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        yield Slot(place, holder[key], holder, key)
