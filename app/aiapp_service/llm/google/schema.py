"""JSON schemas as Gemini takes them, for answers and for the parameters of functions.

A keyword that the API does not know makes it refuse the request. What can be said otherwise is; the rest is moved
into the description, where the model reads it.
https://ai.google.dev/api/generate-content#generationconfig (responseJsonSchema)
"""

import json
from typing import Any

_KEPT = frozenset(
    {
        "$anchor",
        "$id",
        "description",
        "format",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)
_DEFINED = {"$defs": "$defs", "definitions": "$defs"}
_NAMED = {**_DEFINED, "properties": "properties"}
_BRANCHES = frozenset({"anyOf", "oneOf", "prefixItems"})
_PART = frozenset({"items", "additionalProperties"})
# Nothing that a model could keep to.
_UNSAID = frozenset({"$schema", "$comment", "default", "examples", "strict"})


def accepted(schema: Any) -> Any:
    """`schema` with nothing in it that the API refuses."""
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        return _reference(schema)
    kept: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _KEPT:
            kept[key] = value
        elif key in _NAMED and isinstance(value, dict):
            kept.setdefault(_NAMED[key], {}).update({name: accepted(part) for name, part in value.items()})
        elif key in _BRANCHES and isinstance(value, list):
            kept[key] = [accepted(branch) for branch in value]
        elif key in _PART:
            kept[key] = accepted(value)
        elif key in ("const", "enum") and (values := _values(key, value)):
            kept["enum"] = values
        elif key == "allOf" and isinstance(value, list) and all(isinstance(branch, dict) for branch in value):
            _join(kept, [accepted(branch) for branch in value])
        elif key not in _UNSAID:
            said[key] = value
    return _described(kept, said) if said else kept


def _described(kept: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    rules = json.dumps(said, ensure_ascii=False)
    return {**kept, "description": f"{kept['description']}\n\n{rules}" if kept.get("description") else rules}


def _reference(schema: dict[str, Any]) -> dict[str, Any]:
    """Nothing may stand beside a reference but what it refers to."""
    defined = accepted({key: schema[key] for key in _DEFINED if key in schema})
    return {"$ref": schema["$ref"].replace("#/definitions/", "#/$defs/"), **defined}


def _values(key: str, value: Any) -> list[Any]:
    """What a value has to be one of, as far as the API can keep to it: texts and numbers."""
    values = [value] if key == "const" else value
    fit = isinstance(values, list) and all(isinstance(v, (str, int, float)) and not isinstance(v, bool) for v in values)
    return values if fit else []


def _join(kept: dict[str, Any], branches: list[dict[str, Any]]) -> None:
    """What all branches ask for together: their properties side by side, else the first one's word."""
    if len(branches) == 1 and "$ref" in branches[0] and not kept:
        kept.update(branches[0])
        return
    for branch in branches:
        for key, value in branch.items():
            if key in ("properties", "$defs"):
                kept[key] = {**value, **kept.get(key, {})}
            elif key == "required":
                kept[key] = [*kept.get(key, []), *(name for name in value if name not in kept.get(key, []))]
            elif key != "$ref":
                kept.setdefault(key, value)
