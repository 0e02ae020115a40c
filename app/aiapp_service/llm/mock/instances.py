"""The least value that fits a JSON schema, always the same one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Deeper than any answer that somebody reads; schemas may refer to themselves.
_MOST_DEPTH = 32
_MOST_ITEMS = 1000
_MOST_STEPS = 10_000
_MOST_LENGTH = 100_000
_TEXT = "mock"
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "mock@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass
class _Walk:
    """What references point into, and how far it has been walked: a schema may branch into itself."""

    root: Any
    left: int = _MOST_STEPS

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ValueError("a schema without end")


def instance_of(schema: Any) -> Any:
    """A value for `schema`: required properties only, of alternatives the first, numbers near 0.

    None where the schema itself is wrong, or refers to itself without end.
    """
    try:
        return _value(schema, _Walk(schema), _MOST_DEPTH)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        return None


def _value(schema: Any, walk: "_Walk", depth: int) -> Any:
    if not isinstance(schema, dict) or depth == 0:
        return None
    schema = _resolved(schema, walk, depth)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = _type(schema)
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: _value(properties.get(name, {}), walk, depth - 1) for name in schema.get("required") or []}
    if kind == "array":
        return _items(schema, walk, depth)
    return _SCALARS[kind](schema) if kind in _SCALARS else None


def _resolved(schema: dict[str, Any], walk: "_Walk", depth: int) -> dict[str, Any]:
    """With what it refers to, all that holds, and the first alternative in one."""
    walk.step()
    if depth == 0:
        return {}
    if isinstance(schema.get("$ref"), str):
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _resolved({**_at(walk.root, schema["$ref"]), **rest}, walk, depth - 1)
    key = next((key for key in ("allOf", "anyOf", "oneOf") if schema.get(key)), None)
    if key is None:
        return schema
    branches = schema[key] if key == "allOf" else schema[key][:1]
    rest = {name: value for name, value in schema.items() if name != key}
    return _joined([_resolved(part, walk, depth - 1) for part in (rest, *branches)])


def _joined(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for schema in schemas:
        properties = {**(joined.get("properties") or {}), **(schema.get("properties") or {})}
        required = [*(joined.get("required") or []), *(schema.get("required") or [])]
        joined = {**joined, **schema, "properties": properties, "required": list(dict.fromkeys(required))}
    return {key: value for key, value in joined.items() if value or key not in ("properties", "required")}


def _at(root: Any, reference: str) -> dict[str, Any]:
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _type(schema: Mapping[str, Any]) -> Any:
    given = schema.get("type")
    if isinstance(given, list):
        return given[0] if given else None
    if given is None:
        return "object" if "properties" in schema else "array" if "items" in schema else None
    return given


def _items(schema: Mapping[str, Any], walk: "_Walk", depth: int) -> list[Any]:
    first = schema.get("prefixItems") or []
    count = max(min(schema.get("minItems") or 0, _MOST_ITEMS), len(first))
    schemas = [first[n] if n < len(first) else schema.get("items", {}) for n in range(count)]
    return [_value(item, walk, depth - 1) for item in schemas]


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    text = _TEXT.ljust(min(schema.get("minLength") or 0, _MOST_LENGTH), "k")
    return text[: schema["maxLength"]] if isinstance(schema.get("maxLength"), int) else text


def _number(schema: Mapping[str, Any]) -> float:
    step: float = schema.get("multipleOf") or 1
    least: float | None = schema.get("minimum")
    most: float | None = schema.get("maximum")
    if (above := schema.get("exclusiveMinimum")) is not None:
        least = math.floor(above / step) * step + step
    if (below := schema.get("exclusiveMaximum")) is not None:
        most = math.ceil(below / step) * step - step
    if least is not None and least > 0:
        return math.ceil(least / step) * step
    return math.floor(most / step) * step if most is not None and most < 0 else 0


_SCALARS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "string": _text,
    "integer": lambda schema: math.ceil(_number(schema)),
    "number": _number,
    "boolean": lambda _schema: False,
}
