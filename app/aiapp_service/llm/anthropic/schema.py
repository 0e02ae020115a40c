"""JSON schemas as structured outputs take them.

The API refuses constraints that it cannot enforce while it generates, and objects that are open. Such constraints
are moved into the description, where the model reads them. The rules are those of the SDK's own transformation.
https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

import json
from typing import Any

_KEPT = frozenset({"type", "enum", "const", "description", "title", "required"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_BRANCHES = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_DEFINED = ("$defs", "definitions")
_NAMED = (*_DEFINED, "properties")


def enforceable(schema: Any) -> Any:
    """`schema` with nothing in it that the API refuses."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        # Nothing may stand beside a reference but what it refers to.
        return {"$ref": schema["$ref"], **enforceable({key: schema[key] for key in _DEFINED if key in schema})}
    kept: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _KEPT:
            kept[key] = value
        elif key in _BRANCHES and isinstance(value, list):
            kept[_BRANCHES[key]] = [enforceable(branch) for branch in value]
        elif key in _NAMED and isinstance(value, dict):
            kept[key] = {name: enforceable(part) for name, part in value.items()}
        elif key == "items":
            kept[key] = enforceable(value)
        elif _is_enforced(key, value):
            kept[key] = value
        elif key not in ("additionalProperties", "$schema", "$id"):
            said[key] = value
    if kept.get("type") == "object" or "properties" in kept:
        kept["additionalProperties"] = False
    if said:
        rules = json.dumps(said, ensure_ascii=False)
        kept["description"] = f"{kept['description']}\n\n{rules}" if kept.get("description") else rules
    return kept


def _is_enforced(key: str, value: Any) -> bool:
    return (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1))
