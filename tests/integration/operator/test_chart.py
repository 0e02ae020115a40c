"""The chart: least rights, restricted pods, values that are checked."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from aiapp_operator.config import PREFIX, Settings
from aiapp_operator.kube.resources import RESOURCES
from tests.cluster.gotools import KUBERNETES, program
from tests.cluster.paths import REPOSITORY
from tests.stack.kube import Kube, Manifest

CHART = REPOSITORY / "charts" / "aiapp-operator"
NAMESPACE = "chart"


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Offline it takes the version of the libraries it was built with, which is of no meaning here.
    command = [program("helm"), *arguments, "--namespace", NAMESPACE, "--kube-version", KUBERNETES]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def rendered(*values: str) -> list[Manifest]:
    flags = [part for value in values for part in ("--set", value)]
    done = helm("template", "aiapp-operator", str(CHART), *flags)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: list[Manifest], kind: str) -> list[Manifest]:
    return [document for document in documents if document["kind"] == kind]


def rules(documents: list[Manifest]) -> list[dict[str, Any]]:
    return [rule for kind in ("ClusterRole", "Role") for role in of_kind(documents, kind) for rule in role["rules"]]


@pytest.mark.parametrize("values", [(), ("watchNamespaces={one,two}",)], ids=["cluster", "namespaces"])
def test_rights_are_the_least(values):
    found = rules(rendered(*values))
    for rule in found:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if "secrets" in rule["resources"]:
            assert set(rule["verbs"]) == {"create", "delete"}
        if "aiapps" in rule["resources"]:
            assert set(rule["verbs"]) == {"get", "list", "watch"}
        if "pods" in rule["resources"]:
            assert set(rule["verbs"]) == {"list", "watch"}
    granted = {resource.partition("/")[0] for rule in found for resource in rule["resources"]}
    used = {resource.plural for resource in RESOURCES.values()} - {"storageclasses", "nodes"}  # `aiapp doctor`
    assert granted == used


def test_watched_namespaces_get_roles_and_the_cluster_does_not():
    documents = rendered("watchNamespaces={one,two}")
    bound = {role["metadata"]["namespace"] for role in of_kind(documents, "Role")}
    assert bound == {NAMESPACE, "one", "two"}
    (left,) = of_kind(documents, "ClusterRole")
    assert left["rules"][0]["resources"] == ["customresourcedefinitions"]
    assert left["rules"][0]["resourceNames"] == ["aiapps.aiapp.dev"]


def test_crd_is_kept_when_the_release_goes():
    (crd,) = of_kind(rendered(), "CustomResourceDefinition")
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert of_kind(rendered("crds.install=false"), "CustomResourceDefinition") == []


def test_settings_are_ones_that_the_operator_knows():
    (deployment,) = of_kind(rendered(), "Deployment")
    env = {entry["name"]: entry["value"] for entry in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert all(name.startswith(PREFIX) for name in env)
    settings = Settings.from_env(env)
    assert settings.images == Settings().images
    assert settings.watch_namespaces == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("replicas=-1", "replicas"),
        ("watchNamespaces={Not Valid}", "watchNamespaces"),
        ("logLevel=LOUD", "logLevel"),
        ("image.digest=latest", "digest"),
        ("imagee.tag=1", "imagee"),
        ("workers=0", "workers"),
    ],
)
def test_wrong_values_are_refused_by_name(value, words):
    done = helm("template", "aiapp-operator", str(CHART), "--set", value)
    assert done.returncode != 0
    assert words in done.stderr


@pytest.fixture(scope="module")
def restricted(api_server: Kube) -> Iterator[Kube]:
    level = "pod-security.kubernetes.io"
    labels = {f"{level}/enforce": "restricted", f"{level}/warn": "restricted"}
    api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    yield api_server
    api_server.delete("Namespace", NAMESPACE)


@pytest.mark.parametrize("values", [(), ("replicas=2", "image.digest=sha256:" + "a" * 64)], ids=["default", "two"])
def test_the_api_server_takes_all_of_it_without_a_warning(restricted: Kube, values):
    documents = yaml.safe_dump_all(rendered(*values))
    done = restricted.kubectl_run(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=documents
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
