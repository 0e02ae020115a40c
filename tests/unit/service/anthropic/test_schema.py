"""JSON schemas as structured outputs take them."""

from typing import Any

import pytest

from aiapp_service.llm.anthropic.schema import enforceable


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"type": "string"}, {"type": "string"}),
        (
            {"type": "integer", "minimum": 1, "description": "A number"},
            {"type": "integer", "description": 'A number\n\n{"minimum": 1}'},
        ),
        ({"type": "string", "pattern": "^a"}, {"type": "string", "description": '{"pattern": "^a"}'}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "byte"}, {"type": "string", "description": '{"format": "byte"}'}),
        ({"type": "array", "items": {"type": "null"}, "minItems": 1}, None),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": '{"minItems": 2}'}),
        ({"oneOf": [{"type": "null"}, {"const": 1}]}, {"anyOf": [{"type": "null"}, {"const": 1}]}),
        ({"$schema": "x", "type": "object"}, {"type": "object", "additionalProperties": False}),
        (
            {"type": "object", "additionalProperties": True, "required": ["pattern"], "properties": {"pattern": {}}},
            {"type": "object", "additionalProperties": False, "required": ["pattern"], "properties": {"pattern": {}}},
        ),
        (
            {"$ref": "#/$defs/A", "description": "x", "$defs": {"A": {"type": "integer", "maximum": 2}}},
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer", "description": '{"maximum": 2}'}}},
        ),
    ],
)
def test_what_cannot_be_enforced_is_said(given: dict[str, Any], sent: dict[str, Any] | None) -> None:
    assert enforceable(given) == (given if sent is None else sent)
    assert enforceable(enforceable(given)) == enforceable(given)
