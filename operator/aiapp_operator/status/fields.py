"""Reading JSON of the API server: whatever is absent or of an unexpected type reads as empty.

Observing never fails on a partial object: a child that was just created has no status at all.
"""

from typing import Any

from aiapp_operator.api.manifest import Manifest


def mapping(value: Any, *path: str) -> Manifest:
    """The object at `path` below `value`; empty where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def items(value: Any, *path: str) -> list[Manifest]:
    """The objects of the list at `path` below `value`; empty where there is none."""
    found = mapping(value, *path[:-1]).get(path[-1])
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text(value: Any, *path: str) -> str:
    """The text at `path` below `value`; empty where there is none."""
    found = mapping(value, *path[:-1]).get(path[-1])
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str) -> int:
    """The whole number at `path` below `value`; 0 where there is none."""
    found = mapping(value, *path[:-1]).get(path[-1])
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def condition(value: Any, type_: str) -> Manifest:
    """The condition of this type in `value`'s status; empty where there is none."""
    return next((c for c in items(value, "status", "conditions") if c.get("type") == type_), {})
