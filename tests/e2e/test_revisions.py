"""Changes of the spec: refused when wrong, gated by migrations, held while suspended."""

import pytest
import yaml

from tests.e2e.apps import AppFactory, app_manifest
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.wait import wait_until


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"api": {"replicas": -1}}, "spec.api.replicas"),
        ({"api": {"replcas": 1}}, "spec.api.replcas"),
        ({"models": [{"name": "m", "backends": [{"provider": "nobody", "model": "x"}]}]}, "provider"),
        (
            {"inference": [{"name": "i", "engine": "llamaCpp", "model": {"source": "ftp://x"}}]},
            "spec.inference[0].model.source",
        ),
        ({"postgres": {"managed": {}, "external": {"urlSecretRef": {"name": "a", "key": "b"}}}}, "spec.postgres"),
    ],
)
def test_wrong_spec_is_refused_with_the_field(apps: AppFactory, spec: dict[str, object], field: str) -> None:
    manifest = yaml.safe_dump(app_manifest("wrong", apps.namespace, **spec))
    refused = apps.kube.kubectl_run("apply", "--validate=strict", "-f", "-", stdin=manifest)
    assert refused.returncode != 0
    assert field in refused.stderr
    assert apps.kube.get("AIApp", "wrong", apps.namespace) is None


def test_suspend_leaves_everything_alone(apps: AppFactory) -> None:
    app = apps.apply("paused")
    app.wait_ready()
    app.patch_spec({"suspend": True})
    app.wait_condition("Suspended", "True")
    assert app.conditions()["Ready"]["status"] == "True", "Ready keeps its last value"
    app.kube.delete("Deployment", "paused-api", app.namespace)
    app.patch_spec({"api": {"replicas": 2}})
    wait_until(
        "the new generation seen",
        lambda: (a := app.read())["status"]["observedGeneration"] == a["metadata"]["generation"],
        seconds=30,
    )
    assert app.kube.get("Deployment", "paused-api", app.namespace) is None
    app.patch_spec({"suspend": None})
    app.wait_ready()
    assert "Suspended" not in app.conditions()
    assert app.read()["status"]["api"] == "2/2"


def test_failed_migration_keeps_the_old_revision_serving(apps: AppFactory) -> None:
    app = apps.apply("gated")
    app.wait_ready()
    pods = {pod["metadata"]["uid"] for pod in app.pods("api")}
    # An image that has no service inside: its migration cannot succeed.
    app.patch_spec({"image": apps.platform.images["postgres"]})
    condition = app.wait_condition("Migrated", "False", seconds=180)
    assert condition["message"]
    app.wait_condition("Ready", "False", contains="Migrated")
    app.wait_condition("Stalled", "True", seconds=120)
    assert {pod["metadata"]["uid"] for pod in app.pods("api")} == pods, "the old revision stays"
    with port_forward(app.kube, app.namespace, "svc/gated-api", 8080) as url:
        answer = sdk(url).chat.completions.create(model="chat", messages=[{"role": "user", "content": "still there?"}])
    assert answer.choices[0].message.content
    app.patch_spec({"image": None})
    app.wait_ready()
    assert {pod["metadata"]["uid"] for pod in app.pods("api")} == pods, "going back changes nothing"


def test_missing_aiapp_crd_field_is_explained(apps: AppFactory) -> None:
    explained = apps.kube.kubectl("explain", "aiapp.spec.api.auth")
    assert "apiKeys" in explained
    assert "401" in explained


def _data(app: AppHandle, sql: str) -> str:
    pod = app.pods("postgres")[0]["metadata"]["name"]
    script = 'PATH="$PATH:/usr/lib/postgresql/17/bin" psql -h /run/aiapp -U postgres -d aiapp -qtAc "$0"'
    return app.kube.kubectl("-n", app.namespace, "exec", pod, "--", "sh", "-c", script, sql).strip()


def test_deleted_app_leaves_data_that_a_new_one_takes_over(apps: AppFactory) -> None:
    app = apps.apply("keeper")
    app.wait_ready()
    _data(app, "create table kept (word text); insert into kept values ('still here')")
    claim = app.kube.get("PersistentVolumeClaim", "keeper-postgres", app.namespace)
    assert claim is not None
    app.kube.delete("AIApp", "keeper", app.namespace)
    for kind in ("Deployment", "StatefulSet", "Service", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Job"):
        wait_until(f"no {kind} left", lambda kind=kind: not app.children(kind), seconds=60)
    wait_until("no pod left", lambda: not app.kube.list("Pod", app.namespace), seconds=60)
    assert app.kube.get("Secret", "keeper-postgres", app.namespace), "the password stays with the data"
    again = apps.apply("keeper")
    again.wait_ready()
    adopted = app.kube.get("PersistentVolumeClaim", "keeper-postgres", app.namespace)
    assert adopted is not None
    assert adopted["metadata"]["uid"] == claim["metadata"]["uid"]
    assert _data(again, "select word from kept") == "still here"


def test_deletion_policy_delete_leaves_nothing(apps: AppFactory) -> None:
    app = apps.apply("gone", deletionPolicy="Delete")
    app.wait_ready()
    app.kube.delete("AIApp", "gone", app.namespace)
    for kind in ("Pod", "StatefulSet", "PersistentVolumeClaim", "Deployment", "Job"):
        wait_until(f"no {kind} left", lambda kind=kind: not app.children(kind), seconds=60)
    wait_until("the password gone", lambda: app.kube.get("Secret", "gone-postgres", app.namespace) is None, seconds=60)
