"""Guardrails over answers of the Responses API, where these are relayed.

In a stream each text comes in pieces, then whole, then again in the item it is in and in the response: what is shown
of the pieces is put in place of all that follow. What is held back to the end of a text comes as one more piece; events
after it are numbered anew. A response that is blocked ends as incomplete, with nothing in it.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from aiapp_service.config import GuardrailAction
from aiapp_service.guardrails import report, texts
from aiapp_service.guardrails.chain import Chain
from aiapp_service.guardrails.passage import Guardrail, Place
from aiapp_service.guardrails.watching import watched
from aiapp_service.llm.sse import data_of
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Whole

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DELTA, _DONE = ".delta", ".done"
# Where the whole of a text is, in the event that ends its pieces.
_WHOLE = (*texts.PART_FIELDS, texts.ARGUMENTS, "input", "code")
# Parts of an item have numbers of their own; more than so many it does not have.
_MOST_PARTS = 10_000


async def whole(answer: Whole, guardrails: Sequence[Guardrail], call: Call) -> Whole:
    """The answer that may be shown; the same one where nothing was found.

    Raises:
        Unavailable: a guardrail's judge could not be asked.
    """
    document = _object(answer.body) if answer.status == 200 else None
    if document is None or not isinstance(document.get("output"), list):
        return answer
    chain = Chain(guardrails)
    slots = [slot for item in document["output"] if isinstance(item, dict) for slot in texts.of_item(item)]
    # Each text by itself.
    places = [slot.place._replace(number=number) for number, slot in enumerate(slots)]
    results = await chain.whole(zip(places, (slot.text for slot in slots), strict=True))
    if not chain.violations:
        return answer
    report.note(call, chain.violations)
    document[report.FIELD] = report.field(chain.violations)
    if chain.blocked:
        document |= _blocked()
    else:
        for slot, text in zip(slots, results, strict=True):
            if text != slot.text:
                slot.put(text)
                # They spell out what has been replaced.
                slot.holder.pop("logprobs", None)
    return Whole(answer.status, _ENCODER.encode(document).encode(), answer.content_type)


def stream(events: AsyncIterator[bytes], guardrails: Sequence[Guardrail]) -> AsyncGenerator[bytes, None]:
    """The events that may be shown.

    Raises:
        ApiError: a guardrail's judge could not be asked.
    """
    return watched(events, _Guarded(guardrails))


class _Guarded:
    """The state of one stream. `over`: nothing more is to come, because of a guardrail."""

    def __init__(self, guardrails: Sequence[Guardrail]) -> None:
        self.over = False
        self._chain = Chain(guardrails)
        self._hides_logprobs = any(g.action is not GuardrailAction.AUDIT for g in guardrails)
        self._response: dict[str, Any] = {}
        self._number = 0
        # By the place of a text: what was shown of it, its last piece, and whether it is complete.
        self._shown: dict[Place, str] = {}
        self._pieces: dict[Place, dict[str, Any]] = {}
        self._complete: set[Place] = set()

    async def event(self, event: bytes) -> bytes:
        """What may be shown for this event."""
        document = _object(data_of(event))
        if document is None or not isinstance(document.get("type"), str):
            return event
        kind = document["type"]
        before, changed = b"", False
        if kind.endswith(_DELTA) and isinstance(document.get("delta"), str):
            changed = self._piece(document)
        elif kind.endswith(_DONE) or "response" in document:
            before, changed = self._whole_texts(document)
        if isinstance(document.get("response"), dict):
            self._response = document["response"]
            if self._response.get("status") not in ("queued", "in_progress"):
                await self._chain.conclude()
                if self._chain.violations:
                    self._response[report.FIELD] = report.field(self._chain.violations)
                    changed = True
        if self._chain.blocked:
            return self._end()
        if self._hides_logprobs and document.get("logprobs"):
            document["logprobs"], changed = [], True
        renumbered = document.get("sequence_number") != self._number
        if before or changed or renumbered:
            return before + self._write(document)
        self._number += 1
        return event

    def _piece(self, document: dict[str, Any]) -> bool:
        place, text = _place(document), document["delta"]
        shown = self._chain.feed(place, text)
        self._shown[place] = self._shown.get(place, "") + shown
        self._pieces[place] = document
        document["delta"] = shown
        return bool(shown != text)

    def _whole_texts(self, document: dict[str, Any]) -> tuple[bytes, bool]:
        """What is still to be shown before this event, and whether something in it is not as it came."""
        before, changed = b"", False
        for place, holder, key in _texts(document):
            came = holder[key]
            if place not in self._complete:
                self._complete.add(place)
                before += self._rest(place, came)
            if holder[key] != self._shown[place]:
                holder[key], changed = self._shown[place], True
            if self._hides_logprobs and holder.get("logprobs"):
                holder["logprobs"], changed = [], True
        return before, changed

    def _rest(self, place: Place, came: str) -> bytes:
        """The end of a text: what was held back of it, or all of one that did not come in pieces."""
        piece = self._pieces.pop(place, None)
        if piece is None:
            self._shown[place] = self._chain.feed(place, came) + self._chain.finish(place)
            return b""
        held = self._chain.finish(place)
        self._shown[place] += held
        if not held or self._chain.blocked:
            return b""
        return self._write({**piece, "delta": held, **({"logprobs": []} if "logprobs" in piece else {})})

    def _end(self) -> bytes:
        self.over = True
        response = {**self._response, **_blocked(), report.FIELD: report.field(self._chain.violations)}
        return self._write({"type": "response.incomplete", "response": response})

    def _write(self, document: Mapping[str, Any]) -> bytes:
        numbered = {**document, "sequence_number": self._number}
        self._number += 1
        return f"event: {document['type']}\ndata: {_ENCODER.encode(numbered)}\n\n".encode()


def _blocked() -> dict[str, Any]:
    """As OpenAI ends a response that its own filter stops."""
    details = {"incomplete_details": {"reason": report.FILTERED}}
    return {"status": "incomplete", "completed_at": None, "output": [], **details}


def _place(document: Mapping[str, Any]) -> Place:
    """The place of a piece; its kind is in the type of the event."""
    told = document["type"].removeprefix("response.").removesuffix(_DELTA).removesuffix(_DONE)
    kind = _KINDS.get(told, told)
    part = document.get("content_index", document.get("summary_index"))
    return _numbered(kind, document.get("output_index"), part)


def _numbered(kind: str, item: object, part: object) -> Place:
    numbers = [number if isinstance(number, int) else 0 for number in (item, part)]
    return Place(texts.ANSWERS, kind, numbers[0] * _MOST_PARTS + numbers[1])


# What an event tells, in the words of chats where guardrails look at these.
_KINDS = {"output_text": "content", "function_call_arguments": texts.ARGUMENTS}
# What is in the field of an item of this type, as the events with its pieces have it.
_FIELD_KINDS = {
    "function_call": texts.ARGUMENTS,
    "mcp_call": "mcp_call_arguments",
    "custom_tool_call": "custom_tool_call_input",
    "code_interpreter_call": "code_interpreter_call_code",
}
_PART_KINDS = {
    "output_text": "content",
    "summary_text": "reasoning_summary_text",
    "reasoning_text": "reasoning_text",
}


def _texts(document: dict[str, Any]) -> list[tuple[Place, dict[str, Any], str]]:
    """Whole texts in an event: their places, and where they can be replaced."""
    found: list[tuple[Place, dict[str, Any], str]] = []
    found += [(_place(document), document, key) for key in _WHOLE if isinstance(document.get(key), str)]
    index = document.get("output_index")
    number = document.get("content_index", document.get("summary_index"))
    found += _of_part(document.get("part"), index, number)
    found += _of_item(document.get("item"), index)
    response = document.get("response")
    output = response.get("output") if isinstance(response, dict) else None
    for place, item in enumerate(output if isinstance(output, list) else ()):
        found += _of_item(item, place)
    return found


def _of_item(item: Any, index: object) -> list[tuple[Place, dict[str, Any], str]]:
    if not isinstance(item, dict):
        return []
    kind = str(item.get("type"))
    found: list[tuple[Place, dict[str, Any], str]] = []
    for field in texts.ITEM_FIELDS:
        value = item.get(field)
        if isinstance(value, str):
            found.append((_numbered(_FIELD_KINDS.get(kind, f"{kind}.{field}"), index, 0), item, field))
        for number, part in enumerate(value if isinstance(value, list) else ()):
            found += _of_part(part, index, number)
    return found


def _of_part(part: Any, index: object, number: object) -> list[tuple[Place, dict[str, Any], str]]:
    if not isinstance(part, dict):
        return []
    kind = _PART_KINDS.get(str(part.get("type")), str(part.get("type")))
    return [(_numbered(kind, index, number), part, key) for key in texts.PART_FIELDS if isinstance(part.get(key), str)]


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
