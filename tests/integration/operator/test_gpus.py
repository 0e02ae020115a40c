"""GPUs on nodes that offer them: asked for by any name, waited for with words, taken as soon as they are there."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operator.conftest import Simulated, assistant
from tests.integration.operator.process import operator
from tests.stack.aiapp import AppHandle
from tests.stack.kube import Kube, Manifest
from tests.stack.wait import wait_until

# Nodes of these tests alone: others of the session must not fill up with their pods, nor they with others.
POOL = "gpu-tests"
MIG = "nvidia.com/mig-1g.10gb"


class Nodes:
    """Makes simulated nodes with GPUs, and takes them away."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._made: list[str] = []

    def add(self, name: str, resources: dict[str, str], *, taint: str = "", **labels: str) -> None:
        capacity = {"cpu": "64", "memory": "512Gi", "pods": "200", "ephemeral-storage": "1Ti", **resources}
        labels = {"type": "kwok", "pool": POOL, "kubernetes.io/hostname": name, **labels}
        taints = [{"key": taint, "value": "true", "effect": "NoSchedule"}] if taint else []
        node: Manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        self._kube.kubectl("create", "-f", "-", stdin=json.dumps({**node, "spec": {"taints": taints}}))
        self._made.append(name)
        status = json.dumps({"status": {"capacity": capacity, "allocatable": capacity}})
        self._kube.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", status)

    def remove(self) -> None:
        for name in self._made:
            self._kube.delete("Node", name)


@pytest.fixture
def nodes(simulated: Simulated) -> Iterator[Nodes]:
    made = Nodes(simulated.kube)
    yield made
    made.remove()


def entry(gpu: dict[str, Any], name: str = "llama", **fields: Any) -> dict[str, Any]:
    placement = {"nodeSelector": {"pool": POOL}, **fields.pop("placement", {})}
    model = {"source": "hf://meta-llama/Llama-3.1-8B-Instruct"}
    return {"name": name, "engine": "vLLM", "model": model, "gpu": gpu, "placement": placement, **fields}


def with_model(namespace: str, *entries: dict[str, Any]) -> Manifest:
    models = [{"name": f"chat-{e['name']}", "backends": [{"inference": e["name"]}]} for e in entries]
    models.append({"name": "embed", "kind": "Embedding", "backends": [{"provider": "fake", "model": "mock-embedding"}]})
    return assistant("app", namespace, inference=list(entries), models=models)


def inference_pods(app: AppHandle) -> list[Manifest]:
    return [pod for pod in app.pods("inference") if pod["status"].get("phase") == "Running"]


def test_no_gpu_is_said_within_ten_seconds_and_one_that_comes_is_taken(
    simulated: Simulated, namespace: str, tmp_path: Path, nodes: Nodes
) -> None:
    kube = simulated.kube
    nodes.add("gpu-tests-plain", {})
    kube.apply(with_model(namespace, entry({"count": 2})))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path) as process:
        process.wait_working()
        wait_until("a pod asks for GPUs", lambda: app.pods("inference"), seconds=60)
        asked = time.monotonic()
        found = app.wait_condition("InferenceReady", "False", reason="Unschedulable", seconds=10)
        assert time.monotonic() - asked < 10
        assert "no node offers nvidia.com/gpu: 2" in found["message"]
        assert app.read()["status"]["gpus"] == "0/2"
        nodes.add("gpu-tests-new", {"nvidia.com/gpu": "2"}, taint="nvidia.com/gpu")
        app.wait_condition("InferenceReady", "True", seconds=60)
        wide = kube.kubectl("-n", namespace, "get", "aiapp", "app", "-o", "wide")
        header, line = wide.splitlines()
        assert {"INFERENCE", "GPUS"} <= set(header.split())
        assert "2/2" in line.split()
        assert inference_pods(app)[0]["spec"]["nodeName"] == "gpu-tests-new"


def test_two_gpus_and_one_app_roll_without_a_deadlock(
    simulated: Simulated, namespace: str, tmp_path: Path, nodes: Nodes
) -> None:
    kube = simulated.kube
    nodes.add("gpu-tests-two", {"nvidia.com/gpu": "2"})
    kube.apply(with_model(namespace, entry({"count": 2})))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_condition("InferenceReady", "True", seconds=90)
        for length in (1024, 2048, 4096):
            app.patch_spec({"inference": [entry({"count": 2}, contextLength=length)]})
            app.wait_condition("InferenceReady", "True", seconds=60)
            (pod,) = wait_until("one pod", lambda: (p := inference_pods(app)) and len(p) == 1 and p, seconds=30)
            assert str(length) in pod["spec"]["containers"][0]["args"]


def test_gpus_of_any_kind_and_what_pods_say_of_nodes(
    simulated: Simulated, namespace: str, tmp_path: Path, nodes: Nodes
) -> None:
    """AMD, a slice of a GPU; a RuntimeClass, a taint, a label, a priority, zones."""
    kube = simulated.kube
    for kind, api, more in (
        ("PriorityClass", "scheduling.k8s.io/v1", {"value": 1000}),
        ("RuntimeClass", "node.k8s.io/v1", {"handler": "nvidia"}),
    ):
        manifest = {"apiVersion": api, "kind": kind, "metadata": {"name": "gpu-tests"}, **more}
        kube.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    nodes.add("gpu-tests-amd", {"amd.com/gpu": "1"}, taint="dedicated")
    for zone in ("a", "b"):
        nodes.add(f"gpu-tests-{zone}", {MIG: "7"}, **{"topology.kubernetes.io/zone": zone})
    placement = {
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "priorityClassName": "gpu-tests",
    }
    amd = entry({"resourceName": "amd.com/gpu", "runtimeClassName": "gpu-tests"}, "amd", placement=placement)
    spread = {"spreadOver": ["topology.kubernetes.io/zone"]}
    scaled = {"minReplicas": 2, "maxReplicas": 4}
    mig = entry({"resourceName": MIG}, "mig", placement=spread, autoscaling=scaled)
    kube.apply(with_model(namespace, amd, mig))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_condition("InferenceReady", "True", seconds=90)
        status = app.read()["status"]
        assert (status["inference"], status["gpus"]) == ("3/3", "3/3")
        pods = {pod["spec"]["nodeName"]: pod["spec"] for pod in inference_pods(app)}
        assert set(pods) == {"gpu-tests-amd", "gpu-tests-a", "gpu-tests-b"}, "one in each zone"
        assert pods["gpu-tests-amd"]["priority"] == 1000
        assert pods["gpu-tests-amd"]["runtimeClassName"] == "gpu-tests"


def test_devices_by_resource_claims(simulated: Simulated, namespace: str, tmp_path: Path, nodes: Nodes) -> None:
    """Dynamic resource allocation: the scheduler's own, with devices as a driver would publish them."""
    kube = simulated.kube
    nodes.add("gpu-tests-dra", {})
    api, driver = "resource.k8s.io/v1", "gpu.tests.example.com"
    devices = {"requests": [{"name": "gpu", "exactly": {"deviceClassName": driver, "count": 2}}]}
    template = {"metadata": {"name": "two", "namespace": namespace}, "spec": {"spec": {"devices": devices}}}
    selector = {"cel": {"expression": f"device.driver == '{driver}'"}}
    kinds = {"DeviceClass": {"metadata": {"name": driver}, "spec": {"selectors": [selector]}}}
    for kind, manifest in {**kinds, "ResourceClaimTemplate": template}.items():
        kube.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": api, "kind": kind, **manifest}))
    kube.apply(with_model(namespace, entry({"count": 2, "resourceClaimTemplateName": "two"})))
    app = AppHandle(kube, namespace, "app")
    pool = {"name": "gpu-tests-dra", "generation": 1, "resourceSliceCount": 1}
    published = {"driver": driver, "nodeName": "gpu-tests-dra", "pool": pool, "devices": [{"name": "a"}, {"name": "b"}]}
    piece = {"apiVersion": api, "kind": "ResourceSlice", "metadata": {"name": "gpu-tests-dra"}, "spec": published}
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_condition("InferenceReady", "False", contains="gpu.resourceClaimTemplateName asks for", seconds=60)
        kube.kubectl("apply", "-f", "-", stdin=json.dumps(piece))
        try:
            app.wait_condition("InferenceReady", "True", seconds=60)
            assert app.read()["status"]["gpus"] == "2/2"
            app.patch_spec({"inference": [entry({"count": 2, "resourceClaimTemplateName": "two"}, contextLength=512)]})
            app.wait_condition("InferenceReady", "True", seconds=60)
        finally:
            kube.kubectl("delete", "resourceslice", "gpu-tests-dra")


def test_a_taint_that_is_not_tolerated_is_told(
    simulated: Simulated, namespace: str, tmp_path: Path, nodes: Nodes
) -> None:
    nodes.add("gpu-tests-tainted", {"nvidia.com/gpu": "1"}, taint="team")
    simulated.kube.apply(with_model(namespace, entry({"count": 1})))
    app = AppHandle(simulated.kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_condition("InferenceReady", "False", contains="a taint is not tolerated (1)", seconds=60)


@pytest.mark.parametrize(
    ("engine", "args", "words"),
    [
        ("vLLM", ["--tensor-parallel-size=4"], "args: --tensor-parallel-size is set by the operator: set gpu.count"),
        ("SGLang", ["--context_length", "1"], "args: --context-length is set by the operator: set contextLength"),
        ("llamaCpp", ["-c", "1"], "args: -c is set by the operator: set contextLength"),
    ],
)
def test_the_api_server_refuses_flags_of_the_operator(
    simulated: Simulated, namespace: str, engine: str, args: list[str], words: str
) -> None:
    entry = {"name": "m", "engine": engine, "model": {"source": "file:///m"}, "args": args}
    manifest = assistant("app", namespace, inference=[entry], models=[])
    refused = simulated.kube.kubectl_run("apply", "-f", "-", stdin=json.dumps(manifest))
    assert refused.returncode != 0
    assert words in refused.stderr
