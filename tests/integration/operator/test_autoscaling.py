"""Autoscaled workloads: the number of their pods is the autoscaler's, and moves by nothing that the operator does."""

import json
from pathlib import Path

from tests.integration.operator.conftest import Simulated, assistant
from tests.integration.operator.process import operator
from tests.integration.operator.test_operator import wait_quiet
from tests.stack.aiapp import AppHandle
from tests.stack.kube import Kube
from tests.stack.wait import wait_until

AUTOSCALING = {"minReplicas": 2, "maxReplicas": 9, "targetActiveRequests": 5}


def replicas(kube: Kube, namespace: str) -> int:
    deployment = kube.get("Deployment", "app-api", namespace)
    assert deployment is not None
    return int(deployment["spec"]["replicas"])


def told(kube: Kube, namespace: str) -> list[int]:
    """How often each ReplicaSet of the API was told something: it counts every change of the number of pods."""
    return [found["metadata"]["generation"] for found in kube.list("ReplicaSet", namespace, "aiapp.dev/component=api")]


def scale(kube: Kube, namespace: str, number: int) -> None:
    """As an autoscaler does it."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/app-api/scale"
    found = json.loads(kube.kubectl("get", "--raw", path))
    found["spec"]["replicas"] = number
    kube.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(found))


def test_autoscaling_on_and_off_moves_no_replica(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace, api={"replicas": 4, "auth": {"anonymous": True}}))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        generation = told(kube, namespace)

        app.patch_spec({"api": {"autoscaling": AUTOSCALING}})
        wait_until(
            "the autoscaler is there", lambda: kube.get("HorizontalPodAutoscaler", "app-api", namespace), seconds=30
        )
        wait_quiet(simulated, namespace)
        assert replicas(kube, namespace) == 4
        assert told(kube, namespace) == generation, "it was not another number, not even for a moment"
        assert app.wait_ready()["status"]["api"] == "4/4"

        app.patch_spec({"api": {"replicas": 4, "autoscaling": None}})
        wait_until(
            "the autoscaler is gone", lambda: not kube.get("HorizontalPodAutoscaler", "app-api", namespace), seconds=30
        )
        wait_quiet(simulated, namespace)
        assert told(kube, namespace) == generation


def test_what_the_autoscaler_decides_stands(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace, api={"auth": {"anonymous": True}, "autoscaling": AUTOSCALING}))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path) as first:
        app.wait_ready()
        assert replicas(kube, namespace) == 2, "Kubernetes brings it to minReplicas without any metric"
        scale(kube, namespace, 6)
        wait_until("six pods", lambda: app.read()["status"]["api"] == "6/6", seconds=60)

        resources = {"requests": {"cpu": "150m"}}
        app.patch_spec({"api": {"resources": resources}})
        wait_until(
            "the new revision",
            lambda: "150m" in json.dumps(kube.get("Deployment", "app-api", namespace)["spec"]),
            seconds=60,
        )
        app.wait_ready()
        assert replicas(kube, namespace) == 6
        assert first.stop() == 0
    with operator(simulated.kubeconfig, namespace, tmp_path) as second:
        second.wait_working()
        wait_quiet(simulated, namespace)
        assert replicas(kube, namespace) == 6


def test_missing_metrics_are_said_and_the_app_is_ready(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace, api={"auth": {"anonymous": True}, "autoscaling": AUTOSCALING}))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        condition = app.wait_condition("AutoscalingActive", status="False", reason="MetricsUnavailable")
        assert "ai_active_requests" in condition["message"]
        assert "prometheus-adapter" in condition["message"]
        app.wait_ready()
