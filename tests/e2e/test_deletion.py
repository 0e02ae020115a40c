"""Deleting AIApps whose pods really run, or fail to: what goes within a minute, and what the next one finds.

Moments, policies and a missing operator are tested in tests/integration/operator/test_deletion.py.
"""

import time

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
