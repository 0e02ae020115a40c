"""JSON schemas as Google takes them."""

from typing import Any

import pytest

from aiapp_service.llm.google.schema import accepted

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (TEXT, TEXT),
        ({"type": ["string", "null"], "format": "date", "title": "t"}, ...),
        ({"type": "integer", "minimum": 1, "maximum": 2, "description": "d"}, ...),
        ({"type": "array", "items": TEXT, "minItems": 1, "maxItems": 2, "prefixItems": [TEXT]}, ...),
        ({"enum": ["a", 1]}, ...),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"const": True}, {"description": '{"const": true}'}),
        ({"enum": [None, "a"]}, {"description": '{"enum": [null, "a"]}'}),
        ({"type": "string", "pattern": "a+", "description": "d"}, {**TEXT, "description": 'd\n\n{"pattern": "a+"}'}),
        ({"$schema": "x", "default": 1, "type": "string"}, TEXT),
        (
            {"type": "object", "properties": {"pattern": {**TEXT, "minLength": 1}}, "additionalProperties": False},
            {
                "type": "object",
                "properties": {"pattern": {**TEXT, "description": '{"minLength": 1}'}},
                "additionalProperties": False,
            },
        ),
        ({"anyOf": [TEXT, {"const": 1}]}, {"anyOf": [TEXT, {"enum": [1]}]}),
        ({"oneOf": [TEXT]}, ...),
        ({"$ref": "#/definitions/A", "description": "d"}, {"$ref": "#/$defs/A"}),
        ({"definitions": {"A": TEXT}, "type": "object"}, {"$defs": {"A": TEXT}, "type": "object"}),
        ({"allOf": [{"$ref": "#/$defs/A"}]}, {"$ref": "#/$defs/A"}),
        (
            {"allOf": [{"properties": {"a": TEXT}, "required": ["a"]}, {"properties": {"b": TEXT}, "required": ["b"]}]},
            {"properties": {"a": TEXT, "b": TEXT}, "required": ["a", "b"]},
        ),
        (True, True),
    ],
)
def test_schema(given: Any, sent: Any) -> None:
    assert accepted(given) == (given if sent is ... else sent)
