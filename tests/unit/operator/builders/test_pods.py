"""Promises about every pod, whatever the part."""

import json
import re

import pytest

from aiapp_operator.build import scripts
from aiapp_operator.build.pod import revision_of
from aiapp_operator.build.render import PLACEHOLDER
from tests import golden

TEMPLATES = [
    pytest.param(child["spec"]["template"], id=f"{name}-{child['kind']}-{child['metadata']['name']}")
    for name, app in golden.apps()
    for child in golden.children(app)
    if "template" in child.get("spec", {})
]


def containers(template):
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


@pytest.mark.parametrize("template", TEMPLATES)
def test_pods_have_no_rights_and_bounded_memory(template):
    spec = template["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in containers(template):
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_mounted_volume_exists_and_every_volume_is_mounted(template):
    volumes = [volume["name"] for volume in template["spec"].get("volumes", [])]
    mounted = {mount["name"] for container in containers(template) for mount in container.get("volumeMounts", [])}
    assert len(volumes) == len(set(volumes))
    assert mounted == set(volumes)


@pytest.mark.parametrize("template", TEMPLATES)
def test_secrets_reach_pods_by_reference_only(template):
    assert PLACEHOLDER not in json.dumps(template)
    long_running = template["spec"]["containers"]
    names = {entry["name"] for c in long_running for entry in c.get("env", []) if "secretKeyRef" in str(entry)}
    assert names <= {"HF_TOKEN"}  # engines take it in no other way
    assert not any("envFrom" in container for container in long_running)


def test_revision_follows_the_template():
    app = dict(golden.apps())["minimal"]
    before = {c["metadata"]["name"]: revision_of(c) for c in golden.children(app) if revision_of(c)}
    changed = app.model_copy(update={"spec": app.spec.model_copy(update={"image": "other:1"})})
    after = {c["metadata"]["name"]: revision_of(c) for c in golden.children(changed) if revision_of(c)}
    assert before["minimal-api"] != after["minimal-api"]
    assert before["minimal-postgres"] == after["minimal-postgres"]


@pytest.mark.parametrize("name", ["POSTGRES_START", "POSTGRES_PROBE", "REDIS_START", "REDIS_PROBE"])
def test_scripts_are_left_alone_by_kubernetes(name):
    """Kubernetes reads $$ as an escaped $ and replaces $(NAME) of known variables inside of commands."""
    script = getattr(scripts, name)
    assert "$$" not in script
    assert not re.search(r"\$\([A-Z_]+\)", script)
