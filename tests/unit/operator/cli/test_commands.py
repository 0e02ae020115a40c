"""What the command `aiapp` prints without a cluster."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from aiapp_operator.api.crd import crd
from aiapp_operator.cli import main
from aiapp_operator.cli.doctor import Grade, default_storage, gpus, leader, schema
from aiapp_operator.kube.api_errors import NotFound
from aiapp_operator.kube.store import Listing

APP = """
apiVersion: aiapp.dev/v1alpha1
kind: AIApp
metadata: {name: x}
spec:
  providers: [{name: fake, kind: Mock}]
  models: [{name: chat, backends: [{provider: fake, model: m}]}]
"""


def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(arguments), input=stdin)
    return done.exit_code, done.stdout, done.stderr


def test_crd_is_the_one_that_is_generated():
    code, out, _ = run("crd")
    assert code == 0
    assert yaml.safe_load(out) == crd()


def test_render_prints_every_child_and_no_password():
    code, out, _ = run("render", "-n", "team", "-f", "-", stdin=APP)
    assert code == 0
    children = list(yaml.safe_load_all(out))
    assert {child["metadata"]["namespace"] for child in children} == {"team"}
    assert {"Deployment", "StatefulSet", "Job", "Secret", "NetworkPolicy"} <= {child["kind"] for child in children}
    secrets = [child for child in children if child["kind"] == "Secret"]
    assert all(secret["stringData"]["password"] == "GENERATED" for secret in secrets)


def test_render_takes_images_from_the_operators_settings(monkeypatch):
    monkeypatch.setenv("AIAPP_OPERATOR_IMAGE_REDIS", "registry.example.com/redis:7")
    assert "image: registry.example.com/redis:7" in run("render", "-f", "-", stdin=APP)[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no AIApp"),
        ("kind: Pod", "holds no AIApp"),
        ("a: [", "not valid YAML"),
        ("kind: AIApp", "metadata.name is missing"),
        ("{kind: AIApp, metadata: {name: x}, spec: {api: {replicas: -1}}}", "AIApp x: spec.api.replicas:"),
        ("{kind: AIApp, metadata: {name: x}, spec: {workers: [{name: A}]}}", "spec.workers[0].name:"),
        ("{kind: AIApp, metadata: {name: x}, spec: {nothing: 1}}", "spec.nothing:"),
        (
            "{kind: AIApp, metadata: {name: x}, spec: {models: [{name: m, backends: [{provider: p, model: m}]}]}}",
            "no provider is named p",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_field(text, words):
    code, out, err = run("render", "-f", "-", stdin=text)
    assert code == 2
    assert out == ""
    assert words in err


def test_missing_file(tmp_path: Path):
    code, _, err = run("render", "-f", str(tmp_path / "nothing.yaml"))
    assert code == 2
    assert "nothing.yaml" in err


class Cluster:
    """Stands for a client: objects by kind."""

    def __init__(self, **objects: Any) -> None:
        self._objects = objects

    async def get(self, kind: str, _namespace: str | None, _name: str) -> Any:
        if kind not in self._objects:
            raise NotFound(404, "NotFound", "")
        return self._objects[kind]

    async def list(self, kind: str, _namespace: str | None, _selector: str) -> Listing:
        return Listing(self._objects.get(kind, []), "1")


def lease(holder: str, age: float) -> dict[str, Any]:
    renewed = datetime.now(UTC) - timedelta(seconds=age)
    return {"spec": {"holderIdentity": holder, "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}


def storage(name: str, default: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default}}}


GPU_NODE = {"status": {"allocatable": {"nvidia.com/gpu": "2"}}}


@pytest.mark.parametrize(
    ("check", "cluster", "grade", "words"),
    [
        (schema, Cluster, Grade.FAIL, "not installed"),
        (schema, lambda: Cluster(CustomResourceDefinition=crd()), Grade.OK, "every field"),
        (leader, Cluster, Grade.FAIL, "no Lease"),
        (leader, lambda: Cluster(Lease=lease("op-1", 2)), Grade.OK, "op-1"),
        (leader, lambda: Cluster(Lease=lease("op-1", 500)), Grade.FAIL, "ago"),
        (leader, lambda: Cluster(Lease={"spec": {"holderIdentity": ""}}), Grade.FAIL, "no operator holds"),
        (default_storage, Cluster, Grade.WARN, "no default StorageClass"),
        (default_storage, lambda: Cluster(StorageClass=[storage("slow", "false")]), Grade.WARN, "no default"),
        (default_storage, lambda: Cluster(StorageClass=[storage("fast", "true")]), Grade.OK, "fast"),
        (gpus, lambda: Cluster(Node=[{"status": {"allocatable": {"cpu": "4"}}}]), Grade.WARN, "no node offers GPUs"),
        (
            gpus,
            lambda: Cluster(Node=[{"status": {"allocatable": {"nvidia.com/gpu": "2"}}}] * 2),
            Grade.OK,
            "4 nvidia.com/gpu",
        ),
    ],
)
async def test_doctor(check, cluster, grade, words):
    arguments = {"namespace": "aiapp-system", "lease": "aiapp-operator"} if check is leader else {}
    found = await check(cluster(), **arguments)
    assert found.grade is grade
    assert words in found.text
    assert bool(found.remedy) is (grade is not Grade.OK)
