"""Backups on a real cluster: written, proven, and all there is after everything else was destroyed."""

import contextlib
from collections.abc import Iterator

from rich.console import Console

from tests.e2e import databases
from tests.e2e.apps import AppFactory
from tests.e2e.command_line import aiapp
from tests.e2e.test_deletion import delete
from tests.stack.aiapp import AppHandle
from tests.stack.objectstore import object_store
from tests.stack.wait import wait_until

TABLE = "CREATE TABLE kept AS SELECT i, md5(i::text) AS word, i / 7.0 AS part FROM generate_series(1, 5000) i"
CONTENT = "SELECT count(*), sum(part), md5(string_agg(word, ',' ORDER BY i)) FROM kept"


def _sql(app: AppHandle, sql: str) -> str:
    pod = app.pods("postgres")[0]["metadata"]["name"]
    psql = "psql -h 127.0.0.1 -U postgres -d aiapp -qtAc"
    password = 'PGPASSWORD="$(cat /etc/aiapp/secret/superuser/password)"'
    script = f'PATH="$PATH:/usr/lib/postgresql/17/bin" {password} {psql} "$0"'
    return app.kube.kubectl("-n", app.namespace, "exec", pod, "-c", "postgres", "--", "sh", "-c", script, sql).strip()


@contextlib.contextmanager
def backing_up(app: AppHandle) -> Iterator[None]:
    """A backup is in the midst of its work, and does not get on, until its database is gone."""
    holder = databases.session(app, "BEGIN; LOCK TABLE kept; SELECT pg_sleep(300)")
    try:
        held = "SELECT count(*) FROM pg_locks WHERE relation = 'kept'::regclass AND granted"
        wait_until("table held", lambda: _sql(app, held) == "1", seconds=30)
        begun = aiapp(app, "backup", "--no-wait")
        assert begun.returncode == 0, begun.stdout + begun.stderr
        wait_until("backup waits", lambda: _sql(app, held.replace("AND", "AND NOT")) != "0", seconds=120)
        yield
    finally:
        holder.kill()
        holder.wait()


def test_everything_is_destroyed_and_comes_back_from_the_backup(apps: AppFactory) -> None:
    store = object_store(apps.platform, apps.namespace, Console(highlight=False, width=160))
    managed = {"managed": {"storage": {"size": "1Gi"}}}
    app = apps.apply("phoenix", objectStore=store.spec, postgres={**managed, "backup": {"retention": "7d"}})
    app.wait_ready()
    assert app.conditions()["BackupVerified"]["reason"] == "NoBackupYet"
    _sql(app, f"{TABLE}; ALTER TABLE kept OWNER TO aiapp")
    before = _sql(app, CONTENT)

    made = aiapp(app, "backup")
    assert made.returncode == 0, made.stdout + made.stderr
    name = app.read()["status"]["database"]["lastBackup"]["name"]
    assert name in made.stdout
    checked = aiapp(app, "restore-check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    verified = app.wait_condition("BackupVerified", "True", reason="Verified")
    assert name in verified["message"]
    restored = app.read()["status"]["database"]["lastVerifiedRestore"]
    assert restored["backup"] == name
    assert restored["rows"] >= 5000
    assert _sql(app, "SELECT count(*) FROM pg_database WHERE datname LIKE 'aiapp_verify%'") == "0"

    with backing_up(app):
        delete(app, keeps=True)
    app.kube.delete("PersistentVolumeClaim", "phoenix-postgres", app.namespace)
    gone = ("PersistentVolumeClaim", "phoenix-postgres", app.namespace)
    wait_until("the volume gone", lambda: app.kube.get(*gone) is None, seconds=90)

    wrong = {**managed, "restoreFrom": {"backup": "2020-01-01T00-00-00Z"}}
    again = apps.apply("phoenix", objectStore=store.spec, postgres=wrong)
    refused = again.wait_condition("Migrated", "False", reason="RestoreFailed", seconds=180)
    assert f"there are: {name}" in refused["message"]
    assert not again.children("Deployment") or "phoenix-api" not in {
        child["metadata"]["name"] for child in again.children("Deployment")
    }, "nothing serves before the data is there"
    again.patch_spec({"postgres": {"restoreFrom": {"backup": "latest"}}})
    again.wait_ready()
    assert _sql(again, CONTENT) == before
    assert _sql(again, "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'") == "aiapp"

    again.patch_spec({"deletionPolicy": "Delete", "postgres": {"backup": {"retention": "7d"}}})
    again.wait_ready()
    with backing_up(again):
        delete(again, keeps=False)
