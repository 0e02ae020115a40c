"""From pydantic types to a structural OpenAPI schema, as CRDs want it.

The transform knows exactly what the types use and raises on everything else, so that nothing is
dropped in silence. It also insists on what makes an API good: a description on every field, a
bound on every text, list and map, a merge strategy on every list, a message on every rule.
"""

from enum import Enum
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from aiapp_operator.api.base import ApiModel

Schema = dict[str, Any]

_CARRIED = (
    "type",
    "enum",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "minimum",
    "maximum",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)
_HANDLED = frozenset(
    {"title", "description", "default", "anyOf", "items", "additionalProperties", "properties", "$ref"}
)


class UnknownSchema(TypeError):
    """The types use something that this transform does not know, or lack something it insists on."""


def of_model(model: type[ApiModel], *, path: str = "", omit: frozenset[str] = frozenset()) -> Schema:
    """The schema of one model.

    Args:
        model: the type.
        path: where it stands, for messages.
        omit: names of fields, as in YAML, that are left out.

    Raises:
        UnknownSchema: see the module.
    """
    properties: Schema = {}
    required: list[str] = []
    generated = model.model_json_schema(by_alias=True, mode="validation")
    definitions = generated.get("$defs", {})
    for name, info in model.model_fields.items():
        alias = info.alias or name
        if alias in omit:
            continue
        place = f"{path}.{alias}" if path else alias
        raw = generated["properties"][alias]
        properties[alias] = _field(raw, info, definitions, place)
        if info.is_required():
            required.append(alias)
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if model.cel:
        schema["x-kubernetes-validations"] = [_rule(rule, path) for rule in model.cel]
    return schema


def _rule(rule: Any, path: str) -> Schema:
    if not rule.message:
        raise UnknownSchema(f"{path}: the rule {rule.rule} has no message")
    schema = {"rule": rule.rule, "message": rule.message}
    return {**schema, "messageExpression": rule.message_expression} if rule.message_expression else schema


def _field(raw: Schema, info: FieldInfo, definitions: Schema, place: str) -> Schema:
    if not info.description:
        raise UnknownSchema(f"{place}: has no description")
    inner = _model_in(info.annotation)
    schema = _value(raw, inner, definitions, place)
    schema["description"] = info.description
    default = _default(info)
    if default is not None:
        schema["default"] = default
    return schema


def _default(info: FieldInfo) -> Any:
    """What stands in the stored object when the field is not given; None for nothing."""
    if info.default_factory is not None:
        value = info.default_factory()  # type: ignore[call-arg]  # ours take no argument
    elif info.default is PydanticUndefined or info.default is None:
        return None
    else:
        value = info.default
    if isinstance(value, BaseModel):
        # The defaults of its own fields follow from its own schema.
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if value in ("", [], {}):
        return None
    return [_plain(item) for item in value] if isinstance(value, list) else _plain(value)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _model_in(annotation: Any) -> type[ApiModel] | None:
    """The API type within an annotation such as `list[X]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return annotation
    if get_origin(annotation) is dict:
        return None
    found = [model for part in get_args(annotation) if (model := _model_in(part)) is not None]
    return found[0] if found else None


def _value(raw: Schema, model: type[ApiModel] | None, definitions: Schema, place: str) -> Schema:
    raw = _resolved(raw, definitions, place)
    unknown = raw.keys() - set(_CARRIED) - _HANDLED - {"required"}
    if unknown:
        raise UnknownSchema(f"{place}: unknown keywords {sorted(unknown)}")
    if raw.get("x-kubernetes-int-or-string"):
        schema = {key: raw[key] for key in _CARRIED if key in raw}
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        return schema
    kind = raw.get("type")
    if kind == "object" and model is not None and "properties" in raw:
        return {**of_model(model, path=place), **_extras(raw)}
    if kind == "object":
        return _map(raw, definitions, place)
    if kind == "array":
        return _list(raw, model, definitions, place)
    if kind in ("string", "integer", "boolean"):
        return _scalar(raw, place)
    raise UnknownSchema(f"{place}: type {kind!r} is not known")


def _extras(raw: Schema) -> Schema:
    return {key: raw[key] for key in ("x-kubernetes-validations",) if key in raw}


def _resolved(raw: Schema, definitions: Schema, place: str) -> Schema:
    """`raw` without references, and `X | None` as X: an optional field is one that is not given."""
    if "$ref" in raw:
        name = raw["$ref"].rpartition("/")[2]
        own = {key: value for key, value in raw.items() if key != "$ref"}
        return _resolved({**definitions[name], **own}, definitions, place)
    if "anyOf" in raw and not raw.get("x-kubernetes-int-or-string"):
        options = [option for option in raw["anyOf"] if option != {"type": "null"}]
        if len(options) != 1:
            raise UnknownSchema(f"{place}: unions are not known")
        own = {key: value for key, value in raw.items() if key != "anyOf"}
        return _resolved({**options[0], **own}, definitions, place)
    return raw


def _map(raw: Schema, definitions: Schema, place: str) -> Schema:
    if not isinstance(raw.get("additionalProperties"), dict):
        raise UnknownSchema(f"{place}: an object without known fields")
    if "maxProperties" not in raw:
        raise UnknownSchema(f"{place}: a map without a bound: max_length")
    schema = {key: raw[key] for key in _CARRIED if key in raw}
    schema["additionalProperties"] = _value(raw["additionalProperties"], None, definitions, f"{place}[]")
    return schema


def _list(raw: Schema, model: type[ApiModel] | None, definitions: Schema, place: str) -> Schema:
    if "maxItems" not in raw:
        raise UnknownSchema(f"{place}: a list without a bound: max_length")
    if "x-kubernetes-list-type" not in raw:
        raise UnknownSchema(f"{place}: a list without x-kubernetes-list-type")
    schema = {key: raw[key] for key in _CARRIED if key in raw}
    schema["items"] = _value(raw["items"], model, definitions, f"{place}[]")
    return schema


def _scalar(raw: Schema, place: str) -> Schema:
    if raw["type"] == "string" and not raw.keys() & {"maxLength", "enum", "format"}:
        raise UnknownSchema(f"{place}: text without a bound: max_length")
    schema = {key: raw[key] for key in _CARRIED if key in raw}
    if raw["type"] == "integer":
        schema["format"] = "int32"
    return schema
