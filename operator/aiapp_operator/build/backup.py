"""Backups and restore drills: a CronJob for each, and a Job whenever the user of the AIApp asks for one.

A Job that is asked for is named by a digest of the annotation's value. It stays for as long as the annotation does:
that is the memory by which it is made once.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.backup import Backup
from aiapp_operator.api.facts import Claim
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ANNOTATION_BACKUP_NOW, ANNOTATION_VERIFY_NOW, ComponentName
from aiapp_operator.api.quantity import parse
from aiapp_operator.build.backup_pod import annotation, job_spec
from aiapp_operator.build.digest import digest
from aiapp_operator.build.metadata import child
from aiapp_operator.config import Settings

ON_DEMAND = {ComponentName.BACKUP: ANNOTATION_BACKUP_NOW, ComponentName.VERIFY: ANNOTATION_VERIFY_NOW}
# A controller that was away begins a missed run up to this late.
_LATE_SECONDS = 3600
_HISTORY = 3


def cron_jobs(app: AIApp, settings: Settings, backup: Backup, volume: Claim | None) -> list[Manifest]:
    """What runs by schedule. `volume` is that of a managed database, once it is seen."""
    drill = backup.verify_restore
    found = [_cron_job(app, ComponentName.BACKUP, backup.schedule, _backup(app, settings, backup))]
    if drill.enabled:
        found.append(_cron_job(app, ComponentName.VERIFY, drill.schedule, _verify(app, settings, backup, volume)))
    return found


def asked_for(app: AIApp, settings: Settings, backup: Backup, volume: Claim | None) -> list[Manifest]:
    """The Jobs that the annotations of the AIApp ask for."""
    specs = {
        ComponentName.BACKUP: _backup(app, settings, backup),
        ComponentName.VERIFY: _verify(app, settings, backup, volume),
    }
    found = []
    for component, name in ON_DEMAND.items():
        value = annotation(app, name)
        if value:
            job = child(app, "Job", names.run(app.name, component, digest(value)), component)
            found.append({**job, "spec": specs[component]})
    return found


def _backup(app: AIApp, settings: Settings, backup: Backup) -> Manifest:
    arguments = ["--retention", backup.retention]
    for recipient in backup.encryption.recipients if backup.encryption is not None else ():
        arguments += ["--recipient", recipient]
    # It writes for public keys: the private one is not for it.
    return job_spec(app, settings, ComponentName.BACKUP, ["backup"], app.name, None, arguments)


def _verify(app: AIApp, settings: Settings, backup: Backup, volume: Claim | None) -> Manifest:
    identity = backup.encryption.identity_secret_ref if backup.encryption is not None else None
    ours = app.spec.postgres.managed or app.spec.postgres.cloud_native_pg
    arguments = []
    if ours is not None:
        sizes = [ours.storage.size, *([volume.requested] if volume is not None and volume.requested else [])]
        arguments = ["--volume-bytes", str(int(max(parse(size) for size in sizes)))]
    return job_spec(app, settings, ComponentName.VERIFY, ["verify-restore"], app.name, identity, arguments)


def _cron_job(app: AIApp, component: ComponentName, schedule: str, spec: Manifest) -> Manifest:
    manifest = child(app, "CronJob", names.part(app.name, component), component)
    manifest["spec"] = {
        "schedule": schedule,
        "timeZone": "UTC",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": _LATE_SECONDS,
        "successfulJobsHistoryLimit": _HISTORY,
        "failedJobsHistoryLimit": _HISTORY,
        "jobTemplate": {"metadata": {"labels": names.labels(app.name, component)}, "spec": spec},
    }
    return manifest
