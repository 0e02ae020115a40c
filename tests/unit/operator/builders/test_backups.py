"""Backups in the plan: by schedule, when asked for, and before the first migration of a new AIApp."""

from dataclasses import replace
from typing import Any

import pytest

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Facts, Job, JobState, Run
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build.plan import desired
from tests.unit.operator.examples import SETTINGS, after, find, keys, make_app

STORE = {"s3": {"endpoint": "http://s3", "bucket": "bucket", "credentialsSecretRef": {"name": "s3"}}}
PUBLIC = "age1fl8n7f4kexmg2xdldatmd2vg7zvv9afqf3d5szh2mfntyfvdevvsjn5h03"

NEWER = SETTINGS.model_copy(update={"images": SETTINGS.images.model_copy(update={"service": "newer"})})


def _app(annotations: dict[str, str] | None = None, **postgres: Any) -> AIApp:
    app = make_app(objectStore=STORE, postgres={"managed": {"storage": {"size": "1Gi"}}, **postgres})
    return app.model_copy(update={"metadata": {**app.metadata, "annotations": annotations or {}}})


def _runs(app: AIApp, facts: Facts) -> Facts:
    """Facts once the plan's Jobs that are no migrations are complete."""
    plan = desired(app, facts, SETTINGS)
    new = after(plan)
    runs = {}
    for manifest in plan.apply:
        component = manifest["metadata"]["labels"].get(names.LABEL_COMPONENT)
        if manifest["kind"] == "Job" and component in names.RUNS:
            name = manifest["metadata"]["name"]
            uid = manifest["metadata"].get("annotations", {}).get(names.ANNOTATION_DATABASE, "")
            runs[name] = Run(name, ComponentName(component), JobState.COMPLETE, database=uid)
    jobs = {name: job for name, job in new.jobs.items() if name not in runs}
    return replace(new, runs={**facts.runs, **runs}, jobs=jobs, keys=new.keys | plan.hold)


def _settled(app: AIApp) -> Facts:
    facts = Facts()
    for _ in range(12):
        new = _runs(app, facts)
        if new == facts:
            return facts
        facts = new
    raise AssertionError("the plan does not settle")


def _of(keys_: list[str], component: str) -> list[str]:
    return [key for key in keys_ if f"shop-{component}" in key]


def test_schedules_come_with_the_first_revision_and_go_with_the_field() -> None:
    app = _app(backup={})
    assert not [key for key in keys(desired(app, Facts(), SETTINGS)) if key.startswith("CronJob/")]
    plan = desired(app, _settled(app), SETTINGS)
    assert [key for key in keys(plan) if key.startswith("CronJob/")] == ["CronJob/shop-backup", "CronJob/shop-verify"]
    spec = find(plan, "CronJob/shop-backup")["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("0 2 * * *", "UTC", "Forbid")
    without = desired(_app(), _settled(app), SETTINGS)
    assert not _of([*keys(without), *map(str, without.hold)], "backup")


def test_failed_migration_does_not_end_backups() -> None:
    app = _app(backup={})
    facts = _settled(app)
    failed = replace(facts, jobs={name: replace(job, state=JobState.FAILED) for name, job in facts.jobs.items()})
    assert "CronJob/shop-backup" in keys(desired(app, failed, SETTINGS))


def test_each_value_of_the_annotation_is_one_job() -> None:
    first = _app({names.ANNOTATION_BACKUP_NOW: "one"}, backup={})
    facts = _settled(first)
    (job,) = [key for key in facts.keys if str(key).startswith("Job/shop-backup-")]
    again = desired(
        first, facts, SETTINGS.model_copy(update={"images": SETTINGS.images.model_copy(update={"service": "new"})})
    )
    assert job in again.hold
    assert str(job) not in keys(again), "it is made once, whatever changes"
    second = desired(_app({names.ANNOTATION_BACKUP_NOW: "two"}, backup={}), facts, SETTINGS)
    (other,) = _of([key for key in keys(second) if key.startswith("Job/")], "backup-")
    assert other != str(job)
    assert job not in second.hold, "the old one is pruned; what it said is in the status"


def test_only_who_reads_backups_has_the_identity() -> None:
    encryption = {"recipients": [PUBLIC], "identitySecretRef": {"name": "age", "key": "identity"}}
    plan = desired(app := _app(backup={"encryption": encryption}), _settled(app), SETTINGS)
    writes, reads = (str(find(plan, f"CronJob/shop-{name}")) for name in ("backup", "verify"))
    assert PUBLIC in writes
    assert "'age'" not in writes
    assert "'age'" in reads
    assert "shop-postgres-superuser" in writes


def test_restore_is_before_the_migration_and_once_for_each_volume() -> None:
    app = _app(restoreFrom={"app": "before"})
    facts = Facts()
    for _ in range(3):  # volume, Secrets, database
        facts = after(desired(app, facts, SETTINGS))
    plan = desired(app, replace(facts, jobs={}), SETTINGS)
    jobs = [key for key in keys(plan) if key.startswith("Job/")]
    assert len(jobs) == 1
    assert jobs[0].startswith("Job/shop-restore-")
    job = find(plan, jobs[0])
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[command.index("--app") + 1] == "before"
    assert command[command.index("--backup") + 1] == "latest"
    done = _settled(app)
    assert "Deployment/shop-api" in {str(key) for key in done.keys}
    # Another image: the database stays as it is.
    assert not _of([k for k in keys(desired(app, done, NEWER)) if k.startswith("Job/")], "restore")
    # Another volume: it is restored anew.
    claims = {name: replace(claim, uid="other") for name, claim in done.claims.items()}
    stale = desired(app, replace(done, claims=claims), SETTINGS)
    assert not [key for key in keys(stale) if key.startswith("Job/")]
    runs = replace(done, claims=claims, runs={}, keys=done.keys - {ObjectKey("Job", name) for name in done.runs})
    assert _of([k for k in keys(desired(app, runs, SETTINGS)) if k.startswith("Job/")], "restore")


@pytest.mark.parametrize("state", [JobState.ACTIVE, JobState.FAILED])
def test_nothing_is_migrated_or_served_before_the_restore_is_done(state: JobState) -> None:
    app = _app(restoreFrom={})
    facts = _settled(app)
    runs = {name: replace(run, state=state) for name, run in facts.runs.items()}
    plan = desired(app, replace(facts, runs=runs, jobs={}), SETTINGS)
    assert not _of(keys(plan), "migrate")
    assert "Deployment/shop-api" not in keys(plan)


def test_migrated_volume_counts_as_restored() -> None:
    """Jobs of old are removed one day: then nothing is restored again."""
    app = _app(restoreFrom={})
    facts = replace(_settled(app), runs={})
    assert "Deployment/shop-api" in keys(desired(app, facts, SETTINGS))
    assert isinstance(next(iter(facts.jobs.values())), Job)
