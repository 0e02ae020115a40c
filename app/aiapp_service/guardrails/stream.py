"""Guardrails over a stream: chunks go out as they come, less the end of a text that may still become a match.

What is held back comes before the choice's finish_reason. A choice that is blocked ends with the finish_reason
`content_filter`; when no other one is open the stream ends there, complete, and the backend is stopped.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from aiapp_service.config import GuardrailAction
from aiapp_service.guardrails import report, texts
from aiapp_service.guardrails.chain import Chain
from aiapp_service.guardrails.passage import Guardrail, Place
from aiapp_service.guardrails.watching import watched
from aiapp_service.llm.sse import DONE, data_of, event_of

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_NOT_OF_THE_HEAD = frozenset({"choices", "usage", report.FIELD})


def guarded(events: AsyncIterator[bytes], guardrails: Sequence[Guardrail], n: int) -> AsyncGenerator[bytes, None]:
    """The events that may be shown, of a stream with `n` choices.

    Raises:
        ApiError: a guardrail's judge could not be asked.
    """
    return watched(events, _Guarded(guardrails, n), event_of(DONE))


class _Guarded:
    """The state of one stream. `over`: nothing more is to come, because of a guardrail."""

    def __init__(self, guardrails: Sequence[Guardrail], n: int) -> None:
        self.over = False
        self._guardrails = guardrails
        self._n = n
        self._open: dict[int, Chain] = {}
        self._ended: set[int] = set()
        self._blocked: set[int] = set()
        self._head: dict[str, Any] = {}
        # They spell out what is held back.
        self._hides_logprobs = any(g.action is not GuardrailAction.AUDIT for g in guardrails)

    async def event(self, event: bytes) -> bytes:
        """What may be shown for this event: itself where it says nothing that is looked at."""
        data = data_of(event)
        if not data:
            return event
        if data.strip() == DONE:
            return await self._end() + event
        document = _chunk(data)
        if document is None:
            return event
        self._head = {name: value for name, value in document.items() if name not in _NOT_OF_THE_HEAD}
        choices = document["choices"]
        before, after, found, changed = b"", [], [], False
        for choice in choices:
            rest, shown, chain = await self._choice(choice)
            before += rest
            changed = changed or shown is not choice
            if shown is not None:
                after.append(shown)
            if chain is not None:
                found += chain.violations
        self.over = bool(self._blocked) and len(self._ended) >= self._n
        if not changed and not found and not before:
            return event
        if not after and not document.get("usage"):
            return before
        if found:
            document[report.FIELD] = report.field(found)
        return before + _event({**document, "choices": after})

    async def _choice(self, choice: dict[str, Any]) -> tuple[bytes, dict[str, Any] | None, Chain | None]:
        """Events before it, what is shown of it (itself: all), and its guardrails when it has ended."""
        index = choice.get("index")
        if not isinstance(index, int):
            index = 0
        if index in self._blocked:
            return b"", None, None
        chain = self._open.get(index)
        if chain is None:
            chain = self._open[index] = Chain(self._guardrails)
        delta = choice.get("delta")
        slots = list(texts.of_message(delta, texts.ANSWERS)) if isinstance(delta, dict) else []
        results = [chain.feed(slot.place, slot.text) for slot in slots]
        held: dict[Place, str] = {}
        finished = choice.get("finish_reason") is not None
        if finished:
            held = await _finish(chain)
        if chain.blocked:
            return b"", self._block(index), chain
        changed = False
        for slot, result in zip(slots, results, strict=True):
            text = result + held.pop(slot.place, "")
            if text != slot.text:
                slot.put(text)
                changed = True
        if self._hides_logprobs and choice.get("logprobs"):
            choice["logprobs"] = None
            changed = True
        rest = b"".join(self._added(index, place, text) for place, text in held.items())
        if finished:
            self._ended.add(index)
            return rest, dict(choice) if changed else choice, chain
        if changed and not any((delta or {}).values()):
            return rest, None, None
        return rest, dict(choice) if changed else choice, None

    async def _end(self) -> bytes:
        """The backend is done: whatever choices have not ended by themselves end now."""
        events = b""
        for index, chain in self._open.items():
            if index in self._ended:
                continue
            held = await _finish(chain)
            if chain.blocked:
                choice = self._block(index)
                events += _event({**self._head, "choices": [choice], report.FIELD: report.field(chain.violations)})
            else:
                events += b"".join(self._added(index, place, text) for place, text in held.items())
        return events

    def _block(self, index: int) -> dict[str, Any]:
        self._blocked.add(index)
        self._ended.add(index)
        return {"index": index, "delta": {}, "logprobs": None, "finish_reason": report.FILTERED}

    def _added(self, index: int, place: Place, text: str) -> bytes:
        choice = {"index": index, "delta": texts.delta_of(place, text), "finish_reason": None}
        return _event({**self._head, "choices": [choice]})


async def _finish(chain: Chain) -> dict[Place, str]:
    """What was held back."""
    held = {} if chain.blocked else dict(chain.finish_all())
    await chain.conclude()
    return held


def _chunk(data: bytes) -> dict[str, Any] | None:
    """A chunk with choices; None: it is something else."""
    try:
        document = json.loads(data)
    except ValueError:
        return None
    choices = document.get("choices") if isinstance(document, dict) else None
    return document if isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices) else None


def _event(document: dict[str, Any]) -> bytes:
    return event_of(_ENCODER.encode(document).encode())
