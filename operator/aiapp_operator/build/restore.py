"""spec.postgres.restoreFrom: the Job that fills the database of a new AIApp from a backup, before its migration.

As the migration Job it is named by a digest of its intent and carries the uid of the volume it was for: once it is
complete for a volume, that volume is never restored into again.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.backup import RestoreFrom
from aiapp_operator.api.facts import Facts, JobState
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build.backup_pod import job_spec
from aiapp_operator.build.digest import digest
from aiapp_operator.build.metadata import child
from aiapp_operator.config import Settings


def job(app: AIApp, settings: Settings, restore: RestoreFrom, database_uid: str) -> Manifest:
    """The Job; `database_uid` names the volume of a managed database."""
    arguments = ["--backup", restore.backup]
    of = restore.app or app.name
    spec = job_spec(app, settings, ComponentName.RESTORE, ["restore"], of, restore.identity_secret_ref, arguments)
    manifest = child(app, "Job", names.run(app.name, ComponentName.RESTORE, digest(spec)), ComponentName.RESTORE)
    if database_uid:
        manifest["metadata"]["annotations"] = {names.ANNOTATION_DATABASE: database_uid}
    manifest["spec"] = spec
    return manifest


def complete(facts: Facts, database_uid: str) -> bool:
    """Whether the volume has been restored into, or migrated, which comes after it."""
    restored = any(
        run.component is ComponentName.RESTORE and run.state is JobState.COMPLETE and run.database == database_uid
        for run in facts.runs.values()
    )
    return restored or any(
        migration.state is JobState.COMPLETE and migration.database == database_uid for migration in facts.jobs.values()
    )
