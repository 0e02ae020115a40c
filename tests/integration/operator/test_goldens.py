"""Every golden child is accepted by a real API server, breaks no Pod Security rule, and is covered once applied."""

from collections.abc import Iterator

import pytest
import yaml

from aiapp_operator.kube.intent import covers, differences, has_foreign, stamp
from tests import golden
from tests.stack.kube import Kube, Manifest

APPS = dict(golden.apps())
# Their CRDs come with CloudNativePG and KEDA: the end-to-end tests apply the one, test_scale_to_zero.py the other.
ELSEWHERE = frozenset({"Cluster", "ScaledObject"})


def children(name: str) -> list[Manifest]:
    return [child for child in golden.children(APPS[name]) if child["kind"] not in ELSEWHERE]


@pytest.fixture(scope="module")
def restricted(api_server: Kube) -> Iterator[str]:
    """A namespace that refuses, and warns of, whatever is not `restricted`."""
    name = "goldens"
    level = "pod-security.kubernetes.io"
    labels = {f"{level}/enforce": "restricted", f"{level}/warn": "restricted"}
    api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    api_server.delete("Namespace", name)


def placed(child: Manifest, namespace: str) -> Manifest:
    return {**child, "metadata": {**child["metadata"], "namespace": namespace}}


@pytest.mark.parametrize("name", APPS)
def test_the_api_server_accepts_every_child_without_a_warning(name, api_server, restricted):
    documents = yaml.safe_dump_all(placed(child, restricted) for child in children(name))
    done = api_server.kubectl_run("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=documents)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("serverside-applied") == len(children(name))


@pytest.mark.parametrize("name", APPS)
def test_what_is_applied_is_covered_when_read_back(name, api_server, restricted):
    """Else each reconcile would apply it again: quantities, orders and defaults have the API server's form."""
    for child in children(name):
        if child["kind"] == "Secret":
            continue  # never read back
        intent = stamp(placed(child, restricted), None)
        observed = api_server.apply(intent)
        assert list(differences(observed, intent)) == [], f"{child['kind']} {child['metadata']['name']}"
        assert covers(observed, intent)
        assert not has_foreign(observed, intent)
