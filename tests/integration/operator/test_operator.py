"""The operator as a process, against a real API server whose nodes only pretend to run pods."""

from pathlib import Path

from tests.integration.operator.conftest import Simulated, assistant
from tests.integration.operator.process import operator
from tests.stack.aiapp import AppHandle
from tests.stack.kube import Kube, Manifest
from tests.stack.wait import wait_until

KINDS = (
    "Deployment",
    "StatefulSet",
    "Job",
    "Service",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "NetworkPolicy",
)


def made(kube: Kube, namespace: str, name: str) -> dict[str, Manifest]:
    """Everything that carries the labels of an AIApp, by kind and name."""
    found = (child for kind in KINDS for child in kube.list(kind, namespace, f"aiapp.dev/app={name}"))
    return {f"{child['kind']}/{child['metadata']['name']}": child for child in found}


def wait_quiet(simulated: Simulated, namespace: str) -> None:
    """Wait until the operator has let eight looks in a row, two seconds, pass without a write."""
    mark, quiet = simulated.audit.mark(), 0

    def unchanged() -> bool:
        nonlocal mark, quiet
        end = simulated.audit.mark()
        quiet = 0 if simulated.audit.operator_writes(mark, namespace) else quiet + 1
        mark = end
        return quiet >= 8

    wait_until(f"no writes into {namespace}", unchanged, seconds=60)


def test_app_becomes_ready_and_then_nothing_is_written(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    simulated.kube.apply(assistant("app", namespace))
    app = AppHandle(simulated.kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        wait_quiet(simulated, namespace)
        mark = simulated.audit.mark()
        # Controllers touch children all the time; so does this.
        simulated.kube.merge("Deployment", "app-api", namespace, {"metadata": {"labels": {"team": "blue"}}})
        wait_quiet(simulated, namespace)
        assert simulated.audit.operator_writes(mark, namespace) == []
        labels = simulated.kube.get("Deployment", "app-api", namespace)["metadata"]["labels"]
        assert labels["team"] == "blue", "what others add stays"


def test_restart_writes_nothing(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    simulated.kube.apply(assistant("app", namespace))
    app = AppHandle(simulated.kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path) as first:
        app.wait_ready()
        wait_quiet(simulated, namespace)
        assert first.stop() == 0
    mark = simulated.audit.mark()
    with operator(simulated.kubeconfig, namespace, tmp_path) as second:
        second.wait_working()
        wait_quiet(simulated, namespace)
    assert simulated.audit.operator_writes(mark, namespace) == []


def test_edited_and_deleted_children_come_back(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        before = made(kube, namespace, "app")
        kube.delete("Service", "app-redis", namespace)
        kube.merge("Deployment", "app-api", namespace, {"spec": {"replicas": 7}})
        kube.merge("ConfigMap", "app-config", namespace, {"data": {"config.yaml": "broken"}})
        kube.kubectl("-n", namespace, "patch", "service", "app-api", "--type=json", "-p", _RENAMED_PORT)
        wait_until("service back", lambda: kube.get("Service", "app-redis", namespace), seconds=30)
        wait_until(
            "replicas back",
            lambda: kube.get("Deployment", "app-api", namespace)["spec"]["replicas"] == 1,
            seconds=30,
        )
        wait_until(
            "configuration back",
            lambda: kube.get("ConfigMap", "app-config", namespace)["data"] == before["ConfigMap/app-config"]["data"],
            seconds=30,
        )
        wait_until(
            "port back",
            lambda: [p["name"] for p in kube.get("Service", "app-api", namespace)["spec"]["ports"]] == ["http"],
            seconds=30,
        )


_RENAMED_PORT = '[{"op": "replace", "path": "/spec/ports/0/name", "value": "other"}]'


def test_what_is_no_longer_wanted_goes(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        chat = {"name": "chat", "backends": [{"provider": "fake", "model": "mock-chat"}]}
        kube.merge("AIApp", "app", namespace, {"spec": {"workers": [], "inference": [], "models": [chat]}})
        wait_until(
            "worker and inference gone",
            lambda: (
                not {"Deployment/app-worker-embeddings", "Deployment/app-inference-gemma"}
                & made(kube, namespace, "app").keys()
            ),
            seconds=30,
        )
        app.wait_ready()
        assert "WorkersReady" not in app.conditions()


def test_name_of_somebody_else_is_never_taken(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    foreign = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "app-config", "namespace": namespace},
        "data": {"mine": "yes"},
    }
    kube.apply(foreign)
    kube.apply(assistant("app", namespace))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_condition("Stalled", "True", contains="app-config", seconds=30)
        assert app.conditions()["Ready"]["status"] == "False"
        assert kube.get("ConfigMap", "app-config", namespace)["data"] == {"mine": "yes"}
        kube.delete("ConfigMap", "app-config", namespace)
        app.wait_ready(seconds=120)


def test_deleted_app_keeps_its_data_for_the_next_one(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace))
    app = AppHandle(kube, namespace, "app")
    kept = {"PersistentVolumeClaim/app-postgres", "PersistentVolumeClaim/app-redis"} | {
        "Secret/app-postgres",
        "Secret/app-postgres-api",
        "Secret/app-postgres-superuser",
        "Secret/app-postgres-worker",
        "Secret/app-redis",
    }
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        uids = {key: child["metadata"]["uid"] for key, child in made(kube, namespace, "app").items() if key in kept}
        assert uids.keys() == kept
        kube.delete("AIApp", "app", namespace)
        wait_until("children gone", lambda: made(kube, namespace, "app").keys() == kept, seconds=60)
        kube.apply(assistant("app", namespace))
        app.wait_ready()
        after = made(kube, namespace, "app")
        assert {key: after[key]["metadata"]["uid"] for key in kept} == uids, "the same volumes, the same passwords"


def test_delete_policy_removes_data(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace, deletionPolicy="Delete"))
    with operator(simulated.kubeconfig, namespace, tmp_path):
        AppHandle(kube, namespace, "app").wait_ready()
        kube.delete("AIApp", "app", namespace)
        wait_until("everything gone", lambda: not made(kube, namespace, "app"), seconds=60)


def test_suspended_app_is_left_alone(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.apply(assistant("app", namespace))
    app = AppHandle(kube, namespace, "app")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        app.patch_spec({"suspend": True})
        app.wait_condition("Suspended", "True")
        mark = simulated.audit.mark()
        kube.delete("Service", "app-redis", namespace)
        wait_quiet(simulated, namespace)
        assert simulated.audit.operator_writes(mark, namespace) == []
        assert app.conditions()["Ready"]["status"] == "True", "Ready keeps its last value"
        app.patch_spec({"suspend": False})
        wait_until("service back", lambda: kube.get("Service", "app-redis", namespace), seconds=30)


def test_the_operator_never_writes_the_app_itself(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    simulated.kube.apply(assistant("app", namespace))
    mark = simulated.audit.mark()
    with operator(simulated.kubeconfig, namespace, tmp_path):
        AppHandle(simulated.kube, namespace, "app").wait_ready()
        written = {write.kind for write in simulated.audit.operator_writes(mark, namespace)}
    assert "aiapps/status" in written
    assert "aiapps" not in written
    managers = {
        entry["manager"]
        for entry in simulated.kube.get("AIApp", "app", namespace)["metadata"]["managedFields"]
        if not entry.get("subresource")
    }
    assert managers == {"aiapp-tests"}


def test_two_operators_one_works(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    """The second takes over when the first is killed: nothing is made twice, and the work goes on."""
    kube = simulated.kube
    with (
        operator(simulated.kubeconfig, namespace, tmp_path, LEADER_ELECTION="true", IDENTITY="one") as one,
        operator(simulated.kubeconfig, namespace, tmp_path, LEADER_ELECTION="true", IDENTITY="two") as two,
    ):

        def holder() -> str:
            lease = kube.get("Lease", "aiapp-operator", namespace) or {"spec": {}}
            return str(lease["spec"].get("holderIdentity", ""))

        first = wait_until("a holder", holder, seconds=30)
        kube.apply(assistant("app", namespace))
        AppHandle(kube, namespace, "app").wait_ready()
        (one if first == "one" else two).kill()
        other = "two" if first == "one" else "one"
        wait_until("the other one holds it", lambda: holder() == other, seconds=90)
        kube.delete("Service", "app-redis", namespace)
        wait_until("service back", lambda: kube.get("Service", "app-redis", namespace), seconds=60)
