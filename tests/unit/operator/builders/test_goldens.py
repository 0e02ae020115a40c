"""The committed golden files are what the builders make; `make generate` writes them."""

import json

import pytest

from tests import golden

APPS = dict(golden.apps())
AGAIN = "run `make generate` and look at the difference before committing it"


@pytest.mark.parametrize("name", APPS)
def test_children_are_as_committed(name):
    committed = golden.EXPECTED / f"{name}.yaml"
    assert committed.exists(), f"no golden file for {name}: {AGAIN}"
    assert committed.read_text(encoding="utf-8") == golden.text(golden.children(APPS[name])), AGAIN


def test_no_golden_file_is_left_over():
    assert {path.stem for path in golden.EXPECTED.glob("*.yaml")} == set(APPS)


def test_pod_templates_keep_their_revision():
    """A new revision restarts the pods of everybody who upgrades the operator: only where that is worth it."""
    assert json.loads(golden.REVISIONS.read_text(encoding="utf-8")) == golden.revisions(), AGAIN
