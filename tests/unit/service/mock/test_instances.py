"""Least values of JSON schemas, checked by a validator."""

from typing import Any

import jsonschema
import pytest

from aiapp_service.llm.mock.instances import instance_of

TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name", "children"],
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object"}, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}, {"a": "mock"}),
        ({"properties": {"a": {"type": "boolean"}}, "required": ["a"]}, {"a": False}),
        (TREE, {"name": "mock", "children": []}),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": "array", "prefixItems": [{"type": "null"}, {"const": 3}]}, [None, 3]),
        ({"type": "string", "minLength": 6}, "mockkk"),
        ({"type": "string", "maxLength": 2}, "mo"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00Z"),
        ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5}, 0.5),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer", "exclusiveMaximum": -2}, -3),
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "minimum": -7}, 0),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"type": ["string", "null"]}, "mock"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"oneOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"enum": ["x"]}}}, "x"),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"$ref": "#/definitions/B"},
                ],
                "definitions": {"B": {"properties": {"b": {"type": "null"}}, "required": ["b"]}},
            },
            {"a": "mock", "b": None},
        ),
        ({}, None),
        (True, None),
    ],
)
def test_least_value_fits(schema: Any, value: Any) -> None:
    assert instance_of(schema) == value
    jsonschema.validate(value, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "object", "properties": 5, "required": ["a"]},
        {"type": "string", "minLength": "x"},
        {"type": "array", "minItems": 10**12, "items": {"type": "null"}},
        {"type": {}},
        5,
    ],
)
def test_what_cannot_be_fitted_ends(schema: Any) -> None:
    assert len(str(instance_of(schema))) < 100_000
