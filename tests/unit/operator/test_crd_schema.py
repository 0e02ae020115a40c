"""The CRD as a document: every field described, every collection bound, every copy the same."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import yaml

from aiapp_operator.api.crd import crd
from tests.cluster.paths import REPOSITORY


def paths(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from paths(child, f"{path}.{name}")
        if "items" in child:
            yield f"{path}.{name}[]", child["items"]
            yield from paths(child["items"], f"{path}.{name}[]")


ROOT = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
FIELDS = {p: s for part in ("spec", "status") for p, s in paths(ROOT["properties"][part], part)}


def test_every_field_is_described_and_every_collection_bound() -> None:
    for path, schema in FIELDS.items():
        if not path.endswith("[]"):
            assert re.fullmatch(r".{10,}[.]", schema.get("description", ""), re.DOTALL), path
        if schema.get("type") == "array":
            assert "maxItems" in schema, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path
        if schema.get("type") == "string" and "enum" not in schema and "format" not in schema:
            assert "maxLength" in schema, path


def test_copies_of_the_crd_are_the_same() -> None:
    texts = [
        (REPOSITORY / name).read_text(encoding="utf-8")
        for name in ("crds/aiapps.aiapp.dev.yaml", "charts/aiapp-operator/files/crd.yaml")
    ]
    assert texts[0] == texts[1]
    assert yaml.safe_load(texts[0]) == copy.deepcopy(crd())
