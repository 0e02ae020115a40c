"""Autoscaling on AI metrics, for real: Prometheus, prometheus-adapter, Kubernetes' autoscaler, and load."""

import pytest
from rich.console import Console

from tests.e2e.apps import AppFactory
from tests.stack import driver, monitoring
from tests.stack.aiapp import AppHandle
from tests.stack.wait import wait_until

LEAST, MOST = 2, 4
# Down as soon as it is idle, else the test would wait for five minutes.
PATIENCE = {"scaleDown": {"stabilizationWindowSeconds": 10}, "scaleUp": {"stabilizationWindowSeconds": 0}}
AUTOSCALING = {"minReplicas": LEAST, "maxReplicas": MOST, "targetActiveRequests": 3, "behavior": PATIENCE}
BODY = {"model": "chat", "messages": [{"role": "user", "content": "slowly"}], "x_mock": {"delay_seconds": 1}}


@pytest.fixture(scope="module")
def app(module_apps: AppFactory) -> AppHandle:
    console = Console(highlight=False, width=160, stderr=True)
    monitoring.install(module_apps.platform.cluster, module_apps.kube, console)
    handle = module_apps.apply("busy", api={"auth": {"anonymous": True}, "autoscaling": AUTOSCALING})
    handle.wait_ready(seconds=180)
    return handle


def pods(app: AppHandle) -> int:
    deployment = app.kube.get("Deployment", f"{app.name}-api", app.namespace)
    assert deployment is not None
    return int(deployment["spec"]["replicas"])


def test_metrics_reach_the_autoscaler(app: AppHandle) -> None:
    condition = app.wait_condition("AutoscalingActive", "True", reason="Active", seconds=90)
    assert condition["message"] == f"api: {LEAST} to {MOST} pods"
    assert pods(app) == LEAST


def test_load_adds_pods_and_idleness_removes_them_and_nobody_notices(module_apps: AppFactory, app: AppHandle) -> None:
    load = driver.start(module_apps.platform, app.namespace, app.name, 24, BODY)
    wait_until("more pods under load", lambda: pods(app) == MOST, seconds=120, seen=lambda: (pods(app), load.counts()))
    # Ready is from before until the operator has seen the new pods.
    wait_until("all of them ready", lambda: app.read()["status"]["api"] == f"{MOST}/{MOST}", seconds=120, seen=app.read)
    app.wait_ready(seconds=120)
    counts = load.stop()
    assert counts.done > 0
    assert (counts.failed, counts.said) == (0, ())
    wait_until("idle again", lambda: pods(app) == LEAST, seconds=180, seen=lambda: pods(app))


def test_metrics_that_go_away_are_said_and_noticed_when_they_are_back(app: AppHandle) -> None:
    monitoring.remove_adapter(app.kube)
    try:
        condition = app.wait_condition("AutoscalingActive", "False", reason="MetricsUnavailable", seconds=90)
        assert "prometheus-adapter" in condition["message"]
        assert app.conditions()["Ready"]["status"] == "True"
        assert pods(app) >= LEAST
    finally:
        monitoring.restore_adapter(app.kube)
    app.wait_condition("AutoscalingActive", "True", seconds=90)
