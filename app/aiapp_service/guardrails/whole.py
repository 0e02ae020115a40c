"""Guardrails over an answer in one piece. A choice that is blocked says so by its finish_reason, and has no content."""

import json
from collections.abc import Sequence
from typing import Any

from aiapp_service.guardrails import report, texts
from aiapp_service.guardrails.chain import Chain
from aiapp_service.guardrails.passage import Guardrail
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Whole


async def guarded(answer: Whole, guardrails: Sequence[Guardrail], call: Call) -> Whole:
    """The answer that may be shown; the same one where nothing was found.

    Raises:
        Unavailable: a guardrail's judge could not be asked.
    """
    choices, document = _choices(answer)
    found: list[Guardrail] = []
    for choice in choices:
        message = choice.get("message")
        if isinstance(message, dict):
            found += await _choice(choice, message, guardrails)
    if not found:
        return answer
    report.note(call, found)
    document[report.FIELD] = report.field(found)
    return Whole(answer.status, json.dumps(document, separators=(",", ":")).encode(), answer.content_type)


async def _choice(choice: dict[str, Any], message: dict[str, Any], guardrails: Sequence[Guardrail]) -> list[Guardrail]:
    chain = Chain(guardrails)
    slots = list(texts.of_message(message, texts.ANSWERS))
    results = await chain.whole((slot.place, slot.text) for slot in slots)
    if chain.blocked:
        choice["message"] = {"role": texts.ANSWERS, "content": None, "refusal": None}
        choice["finish_reason"] = report.FILTERED
        choice["logprobs"] = None
        return chain.violations
    for slot, text in zip(slots, results, strict=True):
        if text != slot.text:
            slot.put(text)
            # They spell out what has been replaced.
            choice["logprobs"] = None
    return chain.violations


def _choices(answer: Whole) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The choices, and the document that they are part of."""
    try:
        document = json.loads(answer.body) if answer.status == 200 else None
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("choices"), list):
        return [], {}
    return [choice for choice in document["choices"] if isinstance(choice, dict)], document
