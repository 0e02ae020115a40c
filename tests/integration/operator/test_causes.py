"""What only the user can mend is said within seconds, disturbs nothing else, and is not tried again and again."""

import urllib.request
from pathlib import Path

from tests.integration.operator.conftest import NODES, Simulated, assistant
from tests.integration.operator.process import operator
from tests.integration.servers.processes import free_port
from tests.stack.aiapp import AppHandle
from tests.stack.wait import wait_until

GPU = {
    "name": "llama",
    "engine": "vLLM",
    "model": {"source": "hf://meta-llama/Llama-3.1-8B-Instruct"},
    "gpu": {"count": 2},
}


def reconciles(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("aiapp_reconcile_total{"))


def test_no_node_offers_the_gpu(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    chat = {"name": "chat", "backends": [{"inference": "llama"}]}
    simulated.kube.apply(assistant("app", namespace, inference=[GPU], models=[chat]))
    app = AppHandle(simulated.kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        found = app.wait_condition("Ready", "False", reason="Unschedulable", seconds=60)
        assert found["message"].startswith("InferenceReady: llama: 0/1 pods: no node offers nvidia.com/gpu: 2")
        assert f"{NODES} node" in found["message"]
        app.wait_condition("APIReady", "True", seconds=60)
        app.wait_condition("WorkersReady", "True", seconds=60)


def test_conflict_is_stalled_and_not_tried_over_and_over(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    foreign = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app-redis", "namespace": namespace}}
    kube.apply({**foreign, "spec": {"ports": [{"port": 80}]}})
    kube.apply(assistant("app", namespace))
    app = AppHandle(kube, namespace, "app")
    port = free_port()
    with operator(simulated.kubeconfig, namespace, tmp_path, METRICS_PORT=str(port)):
        stalled = app.wait_condition("Stalled", "True", reason="NameConflict", seconds=30)
        assert "Service app-redis" in stalled["message"]
        app.wait_condition("PostgresReady", "True", seconds=60)
        quiet: list[float] = []

        def settled() -> bool:
            quiet.append(reconciles(port))
            return len(quiet) > 12 and quiet[-1] - quiet[-12] <= 1

        wait_until("no hot retry: at most one look in three seconds", settled, seconds=60, seen=lambda: quiet[-12:])
        kube.delete("Service", "app-redis", namespace)
        app.wait_ready(seconds=120)


def test_two_apps_that_spell_the_same_child(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    """App `x` with a worker `api` and app `x-worker` both want a Deployment `x-worker-api`: the second is told."""
    kube = simulated.kube
    kube.apply(assistant("x", namespace, workers=[{"name": "api", "queues": ["embeddings"]}]))
    first = AppHandle(kube, namespace, "x")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        first.wait_ready()
        before = kube.get("Deployment", "x-worker-api", namespace)
        kube.apply(assistant("x-worker", namespace, workers=[]))
        second = AppHandle(kube, namespace, "x-worker")
        stalled = second.wait_condition("Stalled", "True", reason="NameConflict", seconds=60)
        assert "x-worker-api" in stalled["message"]
        assert "AIApp x" in stalled["message"]
        after = kube.get("Deployment", "x-worker-api", namespace)
        assert before is not None
        assert after is not None
        assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
        assert after["spec"] == before["spec"]
        assert first.conditions()["Ready"]["status"] == "True"
