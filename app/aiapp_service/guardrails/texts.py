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
    for message in body.get("messages") or ():
        if isinstance(message, dict):
            for slot in of_message(message, str(message.get("role"))):
                place = Place(slot.place.role, slot.place.field, next(numbers))
                yield Slot(place, slot.text, slot.holder, slot.key)


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
        for key in ("text", "refusal"):
            yield from _inside(part, key, Place(role, field, number))


def _inside(holder: Any, key: str, place: Place) -> Iterator[Slot]:
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        yield Slot(place, holder[key], holder, key)
