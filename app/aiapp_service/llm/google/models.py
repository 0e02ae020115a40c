"""What kinds of models there are: how much they think is told to each kind in its own way.

https://ai.google.dev/gemini-api/docs/thinking, https://ai.google.dev/gemini-api/docs/openai#thinking
"""

import re
from typing import Any

from aiapp_service.llm.translated import Untranslatable, dicts

# These are told how many tokens to think; those after them, how hard.
_BUDGETED = re.compile(r"gemini-[12](\.|-|$)")
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
# The large ones cannot do without.
_LEAST_OF_PRO = 128
_LEVELS = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}


def thinking_config(model: str, effort: Any) -> dict[str, Any]:
    """Field thinkingConfig for a `reasoning_effort`; with more than none of it, thoughts are told.

    Raises:
        Untranslatable: there is no such effort.
    """
    if not isinstance(effort, str) or effort not in _BUDGETS:
        wanted = "none, minimal, low, medium, high, xhigh or max"
        raise Untranslatable(f"reasoning_effort has to be {wanted}", "reasoning_effort")
    large = "-pro" in model
    told: dict[str, Any] = {"includeThoughts": True} if effort != "none" else {}
    if _BUDGETED.search(model):
        return {"thinkingBudget": max(_BUDGETS[effort], _LEAST_OF_PRO if large else 0), **told}
    level = _LEVELS[effort]
    return {"thinkingLevel": "LOW" if large and level == "MINIMAL" else level, **told}


def wants_signatures(model: str) -> bool:
    """Whether it refuses tool calls that come back without one."""
    return "gemini" in model and not _BUDGETED.search(model)


def without_thinking(document: Any) -> frozenset[str]:
    """Of the models that GET /models tells of, those that refuse to be told how much to think."""
    listed = document.get("models") if isinstance(document, dict) else None
    models = [model for model in dicts(listed) if isinstance(model.get("name"), str)]
    return frozenset(model["name"].removeprefix("models/") for model in models if not model.get("thinking"))
