"""Whether there are backups and whether they can be restored: the condition BackupVerified, and what status keeps.

What a Job said at its end is kept in the status when the Job is gone. BackupVerified does not keep an AIApp from being
Ready: it serves as before, and a rollback would mend nothing. It is for alerts, and for people.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from aiapp_operator.api import names
from aiapp_operator.api.backup import Backup
from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.facts import JobState, Run, Severity
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.status import schedule, sleeping
from aiapp_operator.status.fields import mapping, text
from aiapp_operator.status.known import FALSE, TRUE, UNKNOWN, Known, Verdict

_OVERDUE_PERIODS = 2


def with_backups(known: Known, found: list[Verdict]) -> list[Verdict]:
    """`found` with what backups add: a restore in the place of the migration that waits for it, and BackupVerified."""
    restore = restoring(known)
    if restore is not None:
        found = [restore if verdict.type is ConditionType.MIGRATED else verdict for verdict in found]
    verified = backup_verified(known)
    return found if verified is None else [*found, verified]


def fields(known: Known) -> Manifest:
    """lastBackup and lastVerifiedRestore: of the Jobs that are there, or else as they were."""
    last = {"lastBackup": _last_backup(known), "lastVerifiedRestore": _last_verified(known)}
    return {name: value for name, value in last.items() if value}


def restoring(known: Known) -> Verdict | None:
    """The restore of a new AIApp, until it is done."""
    keys = [key for key, planned in known.planned.items() if _component(planned) == ComponentName.RESTORE]
    gates = known.app.spec.postgres.restore_from is not None
    if not gates or not keys:
        return None
    run = known.facts.runs.get(keys[0].name)
    type_ = ConditionType.MIGRATED
    if run is None:
        return Verdict(type_, FALSE, "Restoring", "the restore of the backup is being started", Severity.PROGRESSING)
    if run.state is JobState.COMPLETE:
        return None
    if run.state is JobState.FAILED:
        message = f"Job {run.name}: {_words(run)}. Correct restoreFrom, or delete the Job to try again"
        return Verdict(type_, FALSE, "RestoreFailed", message, Severity.STALLED)
    if run.cause is None or run.cause.severity is Severity.PROGRESSING:
        return Verdict(type_, FALSE, "Restoring", "the backup is being restored", Severity.PROGRESSING)
    return Verdict(type_, FALSE, run.cause.reason, f"restore: {run.cause.message}", run.cause.severity)


def backup_verified(known: Known) -> Verdict | None:
    """The newest backup is not older than its schedule says, and a drill has restored one."""
    backup = known.app.spec.postgres.backup
    if backup is None:
        return None
    checks: tuple[Callable[[Known, Backup], Verdict | None], ...] = (
        _backup_fails,
        _backup_overdue,
        _no_backup,
        _restore_fails,
        _not_verified,
        _drill_overdue,
    )
    found = next((verdict for check in checks if (verdict := check(known, backup)) is not None), None)
    if found is not None:
        return found
    last = _last_verified(known)
    return _verdict(
        TRUE,
        "Verified",
        f"backup {text(last, 'backup')} was restored and holds what was backed up: {last['rows']} rows",
    )


def _backup_fails(known: Known, backup: Backup) -> Verdict | None:
    del backup
    run = _failing(known, ComponentName.BACKUP)
    if run is None:
        return None
    name = text(_last_backup(known), "name")
    last = f"the last good one is {name}" if name else "there is no other"
    return _verdict(FALSE, "BackupFailed", f"Job {run.name}: {_words(run)}; {last}")


def _backup_overdue(known: Known, backup: Backup) -> Verdict | None:
    last = text(_last_backup(known), "time")
    if not _overdue(known, ComponentName.BACKUP, backup.schedule, last):
        return None
    since = f"the last is {text(_last_backup(known), 'name')}" if last else "there is none yet"
    words = f"no backup for two periods of the schedule {backup.schedule}: {since}; look at CronJob {_cron_job(known)}"
    return _verdict(FALSE, "BackupOverdue", words)


def _no_backup(known: Known, backup: Backup) -> Verdict | None:
    if _last_backup(known):
        return None
    return _verdict(UNKNOWN, "NoBackupYet", f"the first backup is made by the schedule {backup.schedule} (UTC)")


def _restore_fails(known: Known, backup: Backup) -> Verdict | None:
    del backup
    run = _failing(known, ComponentName.VERIFY)
    if run is None:
        return None
    return _verdict(FALSE, "RestoreFailed", f"Job {run.name}: {_words(run)}")


def _not_verified(known: Known, backup: Backup) -> Verdict | None:
    name = text(_last_backup(known), "name")
    if not backup.verify_restore.enabled:
        return _verdict(
            UNKNOWN, "NotVerified", f"backup {name} is there; restore drills are off: verifyRestore.enabled"
        )
    if _last_verified(known):
        return None
    due = backup.verify_restore.schedule
    return _verdict(UNKNOWN, "NotVerified", f"backup {name} is there; the first restore drill is by {due} (UTC)")


def _drill_overdue(known: Known, backup: Backup) -> Verdict | None:
    due = backup.verify_restore.schedule
    if not _overdue(known, ComponentName.VERIFY, due, text(_last_verified(known), "time")):
        return None
    return _verdict(FALSE, "DrillOverdue", f"no restore drill went well for two periods of the schedule {due}")


def _verdict(status: Any, reason: str, message: str) -> Verdict:
    return Verdict(ConditionType.BACKUP_VERIFIED, status, reason, message)


def _component(manifest: Manifest) -> str:
    return text(manifest, "metadata", "labels", names.LABEL_COMPONENT)


def _words(run: Run) -> str:
    return run.cause.message if run.cause is not None else "see the Job's events"


def _newest(known: Known, component: ComponentName, *states: JobState) -> Run | None:
    found = [run for run in known.facts.runs.values() if run.component is component and run.state in states]
    return max(found, key=lambda run: (run.created, run.name), default=None)


def _failing(known: Known, component: ComponentName) -> Run | None:
    """The newest run if it went wrong, or one that is under way and cannot get on."""
    active = _newest(known, component, JobState.ACTIVE)
    if active is not None and active.cause is not None and active.cause.severity is not Severity.PROGRESSING:
        return active
    ended = _newest(known, component, JobState.COMPLETE, JobState.FAILED)
    return ended if ended is not None and ended.state is JobState.FAILED else None


def _cron_job(known: Known) -> str:
    return names.part(known.app.name, ComponentName.BACKUP)


def _overdue(known: Known, component: ComponentName, due: str, last: str) -> bool:
    """Whether the schedule came and went twice since the last success, or since it is there."""
    made = known.facts.schedules.get(names.part(known.app.name, component), "")
    since = max(last, made, sleeping.awake_since(known.previous))
    asleep = known.app.spec.postgres.external is None and sleeping.rests(known.app, ComponentName.POSTGRES)
    if not since or not known.now or asleep:
        return False
    passed = schedule.before(due, _moment(known.now))
    times = [time for time, _ in zip(passed, range(_OVERDUE_PERIODS), strict=False)]
    return len(times) == _OVERDUE_PERIODS and times[-1] > _moment(since)


def _moment(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)


def _last_backup(known: Known) -> Manifest:
    return _last(known, "lastBackup", "name", _said(known, ComponentName.BACKUP, "backup"))


def _last_verified(known: Known) -> Manifest:
    return _last(known, "lastVerifiedRestore", "backup", _said(known, ComponentName.VERIFY, "verified"))


def _last(known: Known, field: str, name: str, told: Iterable[Manifest]) -> Manifest:
    """The newest of what runs have told and of what the status said before; `name` is where the backup is named."""
    found = [
        {
            name: text(said, name),
            "time": text(said, "time"),
            "size": _number(said, "size"),
            "duration": _duration(said),
            "rows": _number(said, "rows"),
        }
        for said in told
    ]
    return _newest_of(known, field, found)


def _newest_of(known: Known, field: str, found: list[Manifest]) -> Manifest:
    before = mapping(known.previous, "database", field)
    candidates = [*([before] if before else []), *(entry for entry in found if entry["time"])]
    return max(candidates, key=lambda entry: text(entry, "time"), default={})


def _said(known: Known, component: ComponentName, field: str) -> list[Manifest]:
    """What runs that went well have said, where it can be read."""
    found = []
    for run in known.facts.runs.values():
        if run.component is component and run.result:
            try:
                found.append(mapping(json.loads(run.result), field))
            except ValueError:
                continue
    return found


def _number(said: Manifest, field: str) -> int:
    value = said.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _duration(said: Manifest) -> str:
    seconds = said.get("seconds")
    return f"{round(float(seconds), 1):g}s" if isinstance(seconds, int | float) else ""
