"""Deleting AIApps whose pods really run, or fail to: what goes within a minute, and what the next one finds.

Moments, policies and a missing operator are tested in tests/integration/operator/test_deletion.py.
"""

import time

import pytest

from aiapp_service.db.migrate import LOCK
from tests.e2e import databases
from tests.e2e.apps import AppFactory
from tests.integration.operator.test_deletion import everything
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.wait import wait_until

GONE_SECONDS = 60
LOGINS = ("postgres", "postgres-superuser", "postgres-api", "postgres-worker", "redis")
DATA = {
    "persistentvolumeclaim/{}-postgres",
    "persistentvolumeclaim/{}-redis",
    *(f"secret/{{}}-{name}" for name in LOGINS),
}


def named(app: AppHandle) -> set[str]:
    """Everything in its namespace that has its name, of whatever kind."""
    return {key for key in everything(app.kube, app.namespace) if key.partition("/")[2].startswith(app.name)}


def delete(app: AppHandle, *, keeps: bool) -> float:
    """Delete it, and give the seconds until nothing is left but its data, if it keeps that."""
    left = {key.format(app.name) for key in DATA} if keeps else set()
    began = time.monotonic()
    app.kube.delete("AIApp", app.name, app.namespace)
    wait_until(f"only {left} left", lambda: named(app) == left, seconds=GONE_SECONDS, seen=lambda: named(app), pause=1)
    took = time.monotonic() - began
    print(f"{app.name}: gone after {took:.1f} s")
    return took


def test_data_and_password_are_there_for_the_next_one(apps: AppFactory) -> None:
    app = apps.apply("keeper")
    app.wait_ready()
    databases.sql(app, "create table kept (word text); insert into kept values ('still here')")
    url = databases.url_of(app)
    claim = app.kube.get("PersistentVolumeClaim", "keeper-postgres", app.namespace)
    delete(app, keeps=True)
    again = apps.apply("keeper")
    again.wait_ready()
    adopted = app.kube.get("PersistentVolumeClaim", "keeper-postgres", app.namespace)
    assert claim is not None
    assert adopted is not None
    assert adopted["metadata"]["uid"] == claim["metadata"]["uid"]
    assert databases.sql(again, "select word from kept") == "still here"
    assert databases.url_of(again) == url
    with port_forward(app.kube, app.namespace, "svc/keeper-api", 8080) as address:
        answer = sdk(address).chat.completions.create(model="chat", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content


def test_delete_leaves_nothing(apps: AppFactory) -> None:
    workers = [{"name": "embeddings", "queues": ["embeddings"]}]
    app = apps.apply("gone", deletionPolicy="Delete", workers=workers)
    app.wait_ready()
    delete(app, keeps=False)


def test_made_anew_at_once_it_has_a_password_that_opens(apps: AppFactory) -> None:
    """The volume of the one before is still going, and its Secret after it, when the next one is made."""
    app = apps.apply("again", deletionPolicy="Delete")
    app.wait_ready()
    databases.sql(app, "create table lost (word text)")
    app.kube.delete("AIApp", "again", app.namespace)
    apps.apply("again", deletionPolicy="Delete").wait_ready(seconds=240)
    assert databases.sql(app, "select to_regclass('lost') is null") == "t"
    assert databases.url_of(app)
    delete(app, keeps=False)


def test_deleted_while_its_image_cannot_be_pulled(apps: AppFactory) -> None:
    app = apps.apply("unpulled", deletionPolicy="Delete", image="registry.invalid/none:1")
    app.wait_condition("Migrated", "False", reason="ImagePullFailed", seconds=180)
    delete(app, keeps=False)


@pytest.fixture(scope="module")
def server(module_apps: AppFactory) -> AppHandle:
    """Its PostgreSQL has room for other AIApps: tables of its own in `public` would be taken for theirs."""
    app = module_apps.apply("server", migrations={"enabled": False})
    app.wait_ready()
    return app


def external(module_apps: AppFactory, server: AppHandle, name: str) -> dict[str, object]:
    """Values of an AIApp whose tables are in a schema of that database."""
    databases.sql(server, f"create schema {name}")
    module_apps.kube.secret(f"url-of-{name}", server.namespace, {"url": databases.url_of(server, name)})
    reference = {"urlSecretRef": {"name": f"url-of-{name}", "key": "url"}}
    return {"deletionPolicy": "Delete", "postgres": {"external": reference}}


def test_deleted_while_its_migration_runs(module_apps: AppFactory, server: AppHandle) -> None:
    fields = external(module_apps, server, "busy")
    holder = databases.session(server, f"select pg_advisory_lock({LOCK}), pg_sleep(300)")
    try:
        taken = "select count(*) from pg_locks where locktype = 'advisory' and granted"
        wait_until("lock taken", lambda: databases.sql(server, taken) == "1", seconds=30)
        app = module_apps.apply("busy", **fields)
        app.wait_condition("Migrated", "False", reason="Migrating", contains="runs", seconds=120)

        def waits() -> bool:
            pods = app.pods("migrate")
            return bool(pods) and "waiting for another migration" in app.kube.kubectl(
                "-n", app.namespace, "logs", pods[0]["metadata"]["name"], check=False
            )

        wait_until("migration waits", waits, seconds=120, seen=app.describe)
        assert delete(app, keeps=False) < 30, "process 1 of the Job's pod ends when it is told to"
    finally:
        # Inside the pod psql outlives the kubectl that started it.
        held = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
        databases.sql(server, held, databases.SUPERUSER)
        holder.kill()
        holder.wait()


def test_failed_migration_is_named_not_tried_again_and_deleted(module_apps: AppFactory, server: AppHandle) -> None:
    fields = external(module_apps, server, "stuck")
    databases.sql(server, "create table stuck.usage (canary_column text)")
    app = module_apps.apply("stuck", **fields)
    words = 'migration 0002_usage failed: relation "usage" already exists'
    app.wait_condition("Migrated", "False", reason="MigrationFailed", contains=words, seconds=240)
    app.wait_condition("Stalled", "True", reason="MigrationFailed", seconds=60)
    (job,) = app.children("Job")
    databases.sql(server, "drop table stuck.usage")
    # Mended or not: without a change it is not tried again, also not by an operator that has just started.
    module_apps.kube.kubectl("-n", "aiapp-system", "rollout", "restart", "deployment/aiapp-operator")
    module_apps.kube.kubectl("-n", "aiapp-system", "rollout", "status", "deployment/aiapp-operator", "--timeout=120s")
    app.patch_spec({"api": {"replicas": 2}})
    app.wait_condition("Stalled", "True", reason="MigrationFailed", seconds=60)
    assert [found["metadata"]["uid"] for found in app.children("Job")] == [job["metadata"]["uid"]]
    app.kube.delete("Job", job["metadata"]["name"], app.namespace)
    app.wait_condition("Migrated", "True", seconds=120)
    delete(app, keeps=False)
