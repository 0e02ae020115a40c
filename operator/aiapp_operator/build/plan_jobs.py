"""The part of a plan that works on a database: restores, migrations, backups, each in its turn."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Facts, Job, JobState
from aiapp_operator.api.manifest import ObjectKey, object_key
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import Gate
from aiapp_operator.build import (
    backup,
    migration,
    restore,
)
from aiapp_operator.build.draft import Draft
from aiapp_operator.build.plan_databases import usable_uid
from aiapp_operator.config import Settings


def plan_restore(draft: Draft, app: AIApp, settings: Settings) -> bool:
    """Plan the Job that fills a new database from a backup; True when there is none, or nothing left to do."""
    wanted_from = app.spec.postgres.restore_from
    if wanted_from is None:
        return True
    uid, ready = _database(draft.facts, app)
    wanted = restore.job(app, settings, wanted_from, uid)
    key = object_key(wanted)
    found = draft.facts.runs.get(key.name)
    if restore.complete(draft.facts, uid):
        if found is not None and found.database == uid:
            draft.apply.append(wanted)
        return True
    if found is not None and found.database != uid:
        # It filled a database that is gone. Neither applied nor held it is pruned, and then made anew.
        draft.gates.append(Gate("StaleRestore", open=False, blocks=(key,)))
        return False
    draft.gate("PostgresReady", [wanted], is_open=found is not None or ready)
    # What serves already is of a database that has gone; it waits for the new one.
    draft.hold |= {ObjectKey("Job", job.name) for job in draft.facts.jobs.values()}
    return False


def plan_backups(draft: Draft, app: AIApp, settings: Settings, *, migrated: bool) -> None:
    """By schedule once there is something to back up; a run that was asked for is made once."""
    wanted = app.spec.postgres.backup
    if wanted is None:
        return
    volume = draft.facts.claims.get(names.part(app.name, ComponentName.POSTGRES))
    for manifest in backup.cron_jobs(app, settings, wanted, volume):
        is_open = migrated or object_key(manifest) in draft.facts.keys
        draft.gate("BackupsScheduled", [manifest], is_open=is_open)
    for manifest in backup.asked_for(app, settings, wanted, volume):
        key = object_key(manifest)
        if key in draft.facts.keys:
            # Held and never applied again: it is made once, and its pods cannot change any more.
            draft.hold.add(key)
        else:
            draft.gate("BackupAskedFor", [manifest], is_open=migrated)


def plan_migration(draft: Draft, app: AIApp, settings: Settings) -> bool:
    """Plan the Job of this revision; True when there is nothing left to migrate."""
    if not app.spec.migrations.enabled:
        return True
    uid, ready = _database(draft.facts, app)
    wanted = migration.job(app, settings, uid)
    key = object_key(wanted)
    found = draft.facts.jobs.get(key.name)
    if found is not None and found.database != uid:
        # It migrated a database that is gone. Neither applied nor held it is pruned, and then made anew.
        draft.gates.append(Gate("StaleMigration", open=False, blocks=(key,)))
        return False
    others = _executing(draft.facts, key.name)
    draft.hold |= {ObjectKey("Job", job.name) for job in others}
    draft.gate("PostgresReady", [wanted], is_open=found is not None or (ready and not others))
    return found is not None and found.state is JobState.COMPLETE


def _executing(facts: Facts, wanted: str) -> list[Job]:
    """Migrations of other revisions that run right now: two at a time would be at odds, and none is cut off."""
    return [
        job
        for name, job in sorted(facts.jobs.items())
        if name != wanted and job.executing and job.state is JobState.ACTIVE
    ]


def _database(facts: Facts, app: AIApp) -> tuple[str, bool]:
    """What a migration migrates: uid of what holds the data, empty where that is not ours; and whether it answers."""
    name = names.part(app.name, ComponentName.POSTGRES)
    if app.spec.postgres.managed is not None:
        workload = facts.workloads.get(ObjectKey("StatefulSet", name))
        return usable_uid(facts, app, ComponentName.POSTGRES), workload is not None and workload.serving > 0
    if app.spec.postgres.cloud_native_pg is not None:
        cluster = facts.clusters.get(name)
        usable = cluster is not None and not cluster.deleting
        return (cluster.uid, cluster.ready > 0 and cluster.primary) if cluster is not None and usable else ("", False)
    return "", True
