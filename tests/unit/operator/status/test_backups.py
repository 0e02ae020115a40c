"""BackupVerified: what it says in each state, and what the status keeps."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from aiapp_operator.api.facts import Cause, Facts, JobState, Run, Severity
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build.plan import desired
from aiapp_operator.status import schedule
from aiapp_operator.status.conditions import evaluate, transitions
from tests.unit.operator.examples import SETTINGS, after, make_app

STORE = {"s3": {"endpoint": "http://s3", "bucket": "bucket", "credentialsSecretRef": {"name": "s3"}}}
NOW = "2026-11-24T12:00:00Z"
BACKUP = {"name": "2026-11-24T02-00-00Z", "time": "2026-11-24T02:00:00Z", "size": 10, "seconds": 1.25, "rows": 7}
LAST = {"name": BACKUP["name"], "time": BACKUP["time"], "size": 10, "duration": "1.2s", "rows": 7}
PROOF = {"backup": BACKUP["name"], "time": "2026-11-24T04:00:05Z", "size": 10, "seconds": 2, "rows": 7}
PROVEN = {"backup": BACKUP["name"], "time": "2026-11-24T04:00:05Z", "size": 10, "duration": "2s", "rows": 7}
WRONG = Cause(Severity.STALLED, "MigrationFailed", "backup failed: the object store does not answer")


def _run(component: ComponentName, created: str, said: Manifest | None = None, cause: Cause | None = None) -> Run:
    state = JobState.FAILED if cause else JobState.COMPLETE
    name = f"shop-{component.value}-{created}"
    return Run(name, component, state, created, result=json.dumps(said) if said else "", cause=cause)


MADE = _run(ComponentName.BACKUP, "1", {"backup": BACKUP})
CHECKED = _run(ComponentName.VERIFY, "2", {"verified": PROOF})


def _status(
    *runs: Run, previous: Manifest | None = None, now: str = NOW, since: str = "2026-11-23T12:00:00Z", **backup: Any
) -> Manifest:
    app = make_app(objectStore=STORE, postgres={"managed": {}, "backup": backup})
    schedules = {"shop-backup": since, "shop-verify": since}
    facts = Facts(runs={run.name: run for run in runs}, schedules=schedules)
    return evaluate(app, facts, None, previous=previous, now=now)


def _verdict(status: Manifest) -> tuple[str, str, str]:
    (found,) = (c for c in status["conditions"] if c["type"] == "BackupVerified")
    return found["status"], found["reason"], found["message"]


@pytest.mark.parametrize(
    ("runs", "fields", "expected"),
    [
        ((), {}, ("Unknown", "NoBackupYet", "the first backup is made by the schedule 0 2 * * * (UTC)")),
        ((MADE,), {}, ("Unknown", "NotVerified", "the first restore drill is by 0 4 * * 0 (UTC)")),
        ((MADE,), {"verifyRestore": {"enabled": False}}, ("Unknown", "NotVerified", "restore drills are off")),
        ((MADE, CHECKED), {}, ("True", "Verified", "was restored and holds what was backed up: 7 rows")),
        (
            (MADE, CHECKED, _run(ComponentName.BACKUP, "3", cause=WRONG)),
            {},
            ("False", "BackupFailed", "the object store does not answer; the last good one is 2026-11-24T02-00-00Z"),
        ),
        (
            (MADE, CHECKED, _run(ComponentName.VERIFY, "3", cause=WRONG)),
            {},
            ("False", "RestoreFailed", "the object store does not answer"),
        ),
        (
            (_run(ComponentName.BACKUP, "0", cause=WRONG), MADE, CHECKED),
            {},
            ("True", "Verified", "7 rows"),
        ),
    ],
)
def test_verdicts(runs: tuple[Run, ...], fields: Manifest, expected: tuple[str, str, str]) -> None:
    status, reason, message = _verdict(_status(*runs, **fields))
    assert (status, reason) == expected[:2]
    assert expected[2] in message


def test_run_that_cannot_start_is_told_at_once() -> None:
    missing = Cause(Severity.STALLED, "SecretMissing", "Secret s3 does not exist: create it")
    stuck = Run("shop-backup-9", ComponentName.BACKUP, JobState.ACTIVE, "9", cause=missing)
    assert _verdict(_status(MADE, stuck))[:2] == ("False", "BackupFailed")
    starting = Run("shop-backup-9", ComponentName.BACKUP, JobState.ACTIVE, "9")
    assert _verdict(_status(MADE, CHECKED, starting))[0] == "True"


def test_status_keeps_what_jobs_have_said_when_they_are_gone() -> None:
    before = _status(MADE, CHECKED)
    assert before["database"]["lastBackup"] == LAST
    assert before["database"]["lastVerifiedRestore"] == PROVEN
    assert _status(previous=before) == before
    newer = {**BACKUP, "name": "2026-11-25T02-00-00Z", "time": "2026-11-25T02:00:00Z"}
    moved = _status(MADE, _run(ComponentName.BACKUP, "5", {"backup": newer}), previous=before)
    assert moved["database"]["lastBackup"]["name"] == newer["name"]


@pytest.mark.parametrize(
    ("now", "since", "status"),
    [
        ("2026-11-25T02:30:00Z", "2026-11-01T00:00:00Z", "True"),  # one run late
        ("2026-11-26T02:30:00Z", "2026-11-01T00:00:00Z", "False"),
        ("2026-11-26T02:30:00Z", "2026-11-25T12:00:00Z", "True"),  # the schedule is there since yesterday
    ],
)
def test_backup_that_did_not_come_twice_is_overdue(now: str, since: str, status: str) -> None:
    found = _verdict(_status(MADE, CHECKED, now=now, since=since))
    assert found[0] == status
    if status == "False":
        assert found[1] == "BackupOverdue"
        assert BACKUP["name"] in found[2]


def test_overdue_backup_is_an_event_and_does_not_make_the_app_unready() -> None:
    before = _status(MADE, CHECKED)
    later = _status(MADE, CHECKED, previous=before, now="2026-11-28T00:00:00Z")
    (event,) = (moved for moved in transitions(before, later) if moved.type == "BackupVerified")
    assert not event.normal
    ready = [[c for c in status["conditions"] if c["type"] == "Ready"] for status in (before, later)]
    assert ready[0] == ready[1]


def test_failed_restore_stands_in_the_place_of_the_migration() -> None:
    app = make_app(objectStore=STORE, postgres={"managed": {}, "restoreFrom": {}})
    facts = Facts()
    for _ in range(3):  # volume, Secrets, database
        facts = after(desired(app, facts, SETTINGS))
    facts = Facts(keys=facts.keys, workloads=facts.workloads, claims=facts.claims)
    plan = desired(app, facts, SETTINGS)
    (name,) = (m["metadata"]["name"] for m in plan.apply if m["kind"] == "Job")
    cause = Cause(Severity.STALLED, "MigrationFailed", "restore failed: there is no backup x of shop; there are: y")
    run = Run(name, ComponentName.RESTORE, JobState.FAILED, "1", database="uid", cause=cause)
    failed = Facts(keys=facts.keys, workloads=facts.workloads, claims=facts.claims, runs={name: run})
    found = evaluate(app, failed, desired(app, failed, SETTINGS), previous=None, now=NOW)
    (migrated,) = (c for c in found["conditions"] if c["type"] == "Migrated")
    assert (migrated["status"], migrated["reason"]) == ("False", "RestoreFailed")
    assert "there are: y" in migrated["message"]


@given(
    st.sampled_from(["0 2 * * *", "*/15 * * * *", "30 1-3 * * 0", "0 0 1,15 * 3", "5 4 29 2 *", "0 */6 * 2-4 *"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001  # hypothesis wants it naive
)
def test_schedules_are_read_as_cron_reads_them(text: str, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC, microsecond=0)
    oracle = croniter(text, now + timedelta(seconds=1))
    found = schedule.before(text, now)
    for _ in range(2):
        assert next(found) == oracle.get_prev(datetime)
