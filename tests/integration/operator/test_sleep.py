"""An AIApp is set to sleep and woken on a real API server: every part is at zero pods, and comes back as it was."""

from pathlib import Path

from tests.integration.operator.conftest import Simulated, assistant
from tests.integration.operator.process import operator
from tests.integration.operator.test_operator import wait_quiet
from tests.stack.aiapp import AppHandle
from tests.stack.kube import Kube
from tests.stack.wait import wait_until

AUTOSCALING = {"minReplicas": 2, "maxReplicas": 9, "targetActiveRequests": 5}


def pods(kube: Kube, namespace: str) -> list[str]:
    """Components that have pods, Jobs left out."""
    found = kube.list("Pod", namespace, "aiapp.dev/app=app,aiapp.dev/component!=migrate")
    return sorted({pod["metadata"]["labels"]["aiapp.dev/component"] for pod in found})


def front(kube: Kube, namespace: str) -> str:
    service = kube.get("Service", "app-api", namespace)
    assert service is not None
    return str(service["spec"]["selector"]["aiapp.dev/component"])


def test_asleep_there_is_nothing_but_the_stand_in_and_awake_all_is_as_before(
    simulated: Simulated, namespace: str, tmp_path: Path
) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace, api={"auth": {"anonymous": True}, "autoscaling": AUTOSCALING}))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path) as first:
        app.wait_ready()
        before = pods(kube, namespace)
        jobs = {job["metadata"]["uid"] for job in app.children("Job")}

        app.patch_spec({"state": "Sleeping"})
        app.wait_condition("Ready", "True", reason="Sleeping", seconds=120)
        wait_until("only the stand-in", lambda: pods(kube, namespace) == ["sleeping"], seconds=30)
        assert front(kube, namespace) == "sleeping"
        assert app.children("HorizontalPodAutoscaler") == []
        workloads = [*app.children("Deployment"), *app.children("StatefulSet")]
        counts = {found["metadata"]["name"]: found["spec"]["replicas"] for found in workloads}
        assert {name for name, count in counts.items() if count} == {"app-sleeping"}
        assert "Sleeping" in kube.kubectl("-n", namespace, "get", "aiapp", "app")
        wait_quiet(simulated, namespace)
        assert first.stop() == 0

    with operator(simulated.kubeconfig, namespace, tmp_path) as second:
        second.wait_working()
        wait_quiet(simulated, namespace)
        app.patch_spec({"state": "Running"})
        woken = app.wait_ready()
        assert woken["status"]["lastWake"]["seconds"] < 120
        assert "wakingSince" not in woken["status"]
        assert woken["status"]["api"] == "2/2", "minReplicas, once; the rest is the autoscaler's"
        assert front(kube, namespace) == "api"
        wait_until("the same pods", lambda: pods(kube, namespace) == before, seconds=30)
        assert {job["metadata"]["uid"] for job in app.children("Job")} == jobs, "nothing was migrated again"
        wait_quiet(simulated, namespace)
