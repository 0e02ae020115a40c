"""What each model takes, as GET /models tells it: a knob that a model refuses is not sent to it.

https://platform.claude.com/docs/en/api/models/list
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EFFORTS = ("low", "medium", "high", "xhigh", "max")
_DATE = re.compile(r"-\d{8}$")


@dataclass(frozen=True)
class Abilities:
    """What a model takes. As it stands here is what the current ones do."""

    efforts: frozenset[str] = frozenset(EFFORTS)
    adaptive_thinking: bool = True
    most_tokens: int | None = None  # of an answer


CURRENT = Abilities()


def abilities_of(document: Any) -> Mapping[str, Abilities]:
    """By the names of models, with and without their date; those that tell nothing are left out."""
    listed = document.get("data") if isinstance(document, dict) else None
    found: dict[str, Abilities] = {}
    for model in listed if isinstance(listed, list) else []:
        capabilities = model.get("capabilities") if isinstance(model, dict) else None
        if isinstance(capabilities, dict) and isinstance(model.get("id"), str):
            abilities = _abilities(capabilities, model.get("max_tokens"))
            found[model["id"]] = abilities
            found.setdefault(_DATE.sub("", model["id"]), abilities)
    return found


def _abilities(capabilities: dict[str, Any], most_tokens: Any) -> Abilities:
    return Abilities(
        efforts=frozenset(effort for effort in EFFORTS if _supports(capabilities, "effort", effort)),
        adaptive_thinking=_supports(capabilities, "thinking", "types", "adaptive"),
        most_tokens=most_tokens if isinstance(most_tokens, int) and most_tokens > 0 else None,
    )


def _supports(capabilities: Any, *path: str) -> bool:
    for name in path:
        capabilities = capabilities.get(name) if isinstance(capabilities, dict) else None
    return isinstance(capabilities, dict) and capabilities.get("supported") is True
