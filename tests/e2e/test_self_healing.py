"""What somebody deletes, edits or forgets: the operator says so and heals."""

import pytest

from tests.e2e.apps import AppFactory
from tests.stack.aiapp import AppHandle
from tests.stack.kube import Manifest
from tests.stack.wait import wait_until

HEAL_SECONDS = 30


@pytest.fixture(scope="module")
def app(module_apps: AppFactory) -> AppHandle:
    worker = {"name": "embeddings", "queues": ["embeddings"], "concurrency": 2}
    handle = module_apps.apply("healing", workers=[worker])
    handle.wait_ready()
    return handle


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", "healing-api"),
        ("Deployment", "healing-worker-embeddings"),
        ("Service", "healing-api"),
        ("ConfigMap", "healing-config"),
        ("NetworkPolicy", "healing-postgres"),
        ("PodDisruptionBudget", "healing-api"),
        ("StatefulSet", "healing-redis"),
    ],
)
def test_deleted_child_comes_back(app: AppHandle, kind: str, name: str) -> None:
    before = app.kube.get(kind, name, app.namespace)
    assert before is not None
    app.kube.delete(kind, name, app.namespace)

    def back() -> bool:
        now = app.kube.get(kind, name, app.namespace)
        return now is not None and now["metadata"]["uid"] != before["metadata"]["uid"]

    wait_until(f"{kind} {name} back", back, seconds=HEAL_SECONDS)
    app.wait_ready()


def test_edited_child_is_put_right(app: AppHandle) -> None:
    before = app.kube.get("Deployment", "healing-api", app.namespace)
    assert before is not None
    image = before["spec"]["template"]["spec"]["containers"][0]["image"]
    app.kube.kubectl(
        "-n", app.namespace, "set", "image", "deployment/healing-api", f"{_container(before)}=example.com/evil:1"
    )
    wait_until(
        "image put right",
        lambda: (
            (now := app.kube.get("Deployment", "healing-api", app.namespace))
            and now["spec"]["template"]["spec"]["containers"][0]["image"] == image
        ),
        seconds=HEAL_SECONDS,
    )
    app.wait_ready()


def _container(deployment: Manifest) -> str:
    name: str = deployment["spec"]["template"]["spec"]["containers"][0]["name"]
    return name


def test_edited_service_port_is_put_right(app: AppHandle) -> None:
    before = app.kube.get("Service", "healing-api", app.namespace)
    assert before is not None
    patch = '[{"op": "replace", "path": "/spec/ports/0/port", "value": 9999}]'
    app.kube.kubectl("-n", app.namespace, "patch", "service", "healing-api", "--type=json", "-p", patch)
    ports = [port["port"] for port in before["spec"]["ports"]]
    wait_until(
        "ports put right",
        lambda: (
            (now := app.kube.get("Service", "healing-api", app.namespace))
            and [port["port"] for port in now["spec"]["ports"]] == ports
        ),
        seconds=HEAL_SECONDS,
        seen=lambda: app.kube.get("Service", "healing-api", app.namespace),
    )


def test_removed_worker_is_removed(app: AppHandle) -> None:
    assert app.kube.get("Deployment", "healing-worker-embeddings", app.namespace)
    app.patch_spec({"workers": None})
    wait_until(
        "worker Deployment gone",
        lambda: app.kube.get("Deployment", "healing-worker-embeddings", app.namespace) is None,
        seconds=HEAL_SECONDS,
    )
    app.wait_ready()


def test_missing_secret_is_named_and_heals_when_it_appears(apps: AppFactory) -> None:
    app = apps.apply("waiting", api={"replicas": 1, "auth": {"apiKeys": {"secretRef": {"name": "not-there"}}}})
    app.wait_condition("APIReady", "False", contains="not-there", seconds=120)
    ready = app.wait_condition("Ready", "False", contains="not-there")
    assert ready["message"].startswith("APIReady"), ready
    app.wait_condition("Stalled", "True")
    apps.kube.secret("not-there", apps.namespace, {"somebody": "key"})
    app.wait_ready(seconds=60)
    assert "Stalled" not in app.conditions()


def test_wrong_image_is_named(apps: AppFactory) -> None:
    app = apps.apply("typo", image="example.invalid/no/such:1", migrations={"enabled": False})
    condition = app.wait_condition("Ready", "False", contains="example.invalid/no/such:1", seconds=120)
    assert condition["message"].startswith("APIReady"), condition
