"""docs/reference.md, out of the CRD: every field with its type, default, bounds and rules."""

from collections.abc import Iterator
from typing import Any

from aiapp_operator.api.crd import crd

Schema = dict[str, Any]
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "maxProperties": "at most {} entries",
}
_HEAD = """\
# Reference of AIApp

Generated from the types by `make generate`; `kubectl explain aiapp.spec` shows the same.

`apiVersion: {group}/{version}`, `kind: {kind}`, short name `{short}`.

A name in brackets stands for each entry of a list. **Required** fields have to be given where the field around them is.
"""


def reference() -> str:
    """The whole document."""
    definition = crd()["spec"]
    version = definition["versions"][0]
    names = definition["names"]
    schema = version["schema"]["openAPIV3Schema"]
    parts = [
        _HEAD.format(
            group=definition["group"], version=version["name"], kind=names["kind"], short=names["shortNames"][0]
        )
    ]
    for part, title in (("spec", "Spec"), ("status", "Status")):
        parts.append(f"## {title}\n")
        parts += _section(part, schema["properties"][part])
    parts.append("## Columns of `kubectl get`\n")
    parts.append("| column | path | shown |\n|---|---|---|")
    for column in version["additionalPrinterColumns"]:
        shown = "with -o wide" if column.get("priority") else "always"
        parts.append(f"| {column['name']} | `{column['jsonPath']}` | {shown} |")
    return "\n".join(parts) + "\n"


def _section(path: str, schema: Schema) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"Rule: {rule['message']}.\n"
    yield "| field | type | meaning |\n|---|---|---|"
    yield from _rows(path, schema)
    yield ""


def _rows(path: str, schema: Schema) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, child in schema.get("properties", {}).items():
        where = f"{path}.{name}"
        yield f"| `{where}` | {_type(child)} | {_meaning(child, required=name in required)} |"
        if child.get("type") == "array":
            yield from _rows(f"{where}[]", child["items"])
        else:
            yield from _rows(where, child)


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "number or text"
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and "additionalProperties" in schema:
        return "map"
    return kind


def _meaning(schema: Schema, *, required: bool) -> str:
    parts = ["**Required.**"] if required else []
    parts.append(str(schema.get("description", "")).replace("\n", " ").replace("|", "\\|"))
    if "enum" in schema:
        parts.append("One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + ".")
    bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    if bounds:
        parts.append(f"{', '.join(bounds).capitalize()}.")
    if schema.get("default") not in (None, {}, [], ""):
        parts.append(f"Default `{schema['default']}`.".replace("True", "true").replace("False", "false"))
    rules = [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]
    parts += [f"*Rule: {message}.*".replace("|", "\\|") for message in rules]
    return " ".join(part for part in parts if part)
