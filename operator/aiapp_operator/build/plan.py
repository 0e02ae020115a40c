"""What an AIApp needs right now, as a pure function of its spec and of what is observed.

Stages wait for each other by gates on facts: a volume is seen -> its password is created -> the
database starts -> it is ready -> the migration of this revision completes -> the revision is rolled
out. What a closed gate blocks and what exists already is held: neither applied nor pruned, so that
the old revision serves on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Facts, Job, JobState
from aiapp_operator.api.manifest import Manifest, ObjectKey, object_key
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import PASSWORD, Gate, GeneratedSecret, Plan
from aiapp_operator.build import (
    addresses,
    api,
    autoscaler,
    backup,
    cloudnativepg,
    data,
    database_roles,
    inference,
    keda,
    metadata,
    migration,
    network_policy,
    postgres,
    redis,
    redis_cache,
    restore,
    service_config,
    sleep,
    worker,
)
from aiapp_operator.config import Settings

__all__ = ["PASSWORD", "Gate", "GeneratedSecret", "Plan", "desired"]


@dataclass
class _Draft:
    """A plan in the making."""

    facts: Facts
    apply: list[Manifest] = field(default_factory=list)
    secrets: list[GeneratedSecret] = field(default_factory=list)
    hold: set[ObjectKey] = field(default_factory=set)
    gates: list[Gate] = field(default_factory=list)
    asleep: bool = False  # the AIApp is to sleep

    def gate(self, name: str, manifests: list[Manifest], *, is_open: bool) -> None:
        """Apply `manifests` if the gate is open, else hold those that exist.

        What waits for something before its pods start need not wait for that to have none.
        """
        keys = tuple(object_key(manifest) for manifest in manifests)
        is_open = is_open or (self.asleep and {key.kind for key in keys} <= {"Deployment", "ConfigMap"})
        self.gates.append(Gate(name, is_open, keys))
        if is_open:
            self.apply += manifests
        else:
            self.hold |= self.facts.keys.intersection(keys)


def desired(app: AIApp, facts: Facts, settings: Settings) -> Plan:
    """The plan for `app`.

    Manifests are complete intents without ownerReferences, except where `metadata.ownerReferences`
    is given: then it is the whole truth (empty for data that outlives the AIApp).

    Raises:
        Stalled: the spec cannot be turned into objects; reason InvalidSpec.
    """
    draft = _Draft(facts, asleep=sleep.sleeps(app))
    draft.apply += [metadata.service_account(app), *_network_policies(app)]
    _plan_postgres(draft, app, settings)
    _plan_cloudnativepg(draft, app, settings)
    _plan_redis(draft, app, settings)
    _plan_inference(draft, app, settings)
    draft.apply.append(api.service(app))
    if app.spec.pod_disruption_budget.enabled:
        draft.apply.append(api.disruption_budget(app))
    draft.apply += autoscaler.autoscalers(app)
    has_keda = keda.KIND not in draft.facts.absent_kinds
    if not has_keda:
        draft.apply = [keda.without_it(app, manifest) for manifest in draft.apply]
    draft.gate("KEDAInstalled", keda.scaled_objects(app, settings), is_open=has_keda)
    migrated = _plan_restore(draft, app, settings) and _plan_migration(draft, app, settings)
    _plan_backups(draft, app, settings, migrated=migrated)
    draft.gate("Migrated", _revision(app, settings), is_open=migrated or sleep.sleeps(app))
    plan = Plan(tuple(draft.apply), tuple(draft.secrets), frozenset(draft.hold), tuple(draft.gates))
    return sleep.arrange(app, settings, facts, plan)


def _network_policies(app: AIApp) -> list[Manifest]:
    if not app.spec.network_policy.enabled:
        return []
    policies = [network_policy.inference(app, entry) for entry in app.spec.inference]
    if app.spec.postgres.managed is not None:
        policies.append(network_policy.postgres(app))
    if app.spec.postgres.cloud_native_pg is not None:
        policies.append(network_policy.cloudnativepg(app))
    if app.spec.redis.managed is not None:
        policies.append(network_policy.redis(app))
    if redis_cache.wanted(app) is not None:
        policies.append(network_policy.redis_cache(app))
    return policies


def _plan_postgres(draft: _Draft, app: AIApp, settings: Settings) -> None:
    managed = app.spec.postgres.managed
    if managed is None:
        return
    found = draft.facts.claims.get(names.part(app.name, ComponentName.POSTGRES))
    claim = postgres.claim(app, managed, found)
    draft.apply += [claim, postgres.service(app)]
    uid = _usable_uid(draft.facts, app, ComponentName.POSTGRES)
    owner = data.claim_reference(app, ComponentName.POSTGRES, uid)
    stateful_set = postgres.stateful_set(app, settings, managed)
    rotation = _rotation(draft, app, stateful_set)
    secrets = database_roles.secrets(app, addresses.host(app, ComponentName.POSTGRES), owner, rotation)
    _plan_data(draft, claim, secrets, stateful_set)


def _plan_redis(draft: _Draft, app: AIApp, settings: Settings) -> None:
    managed = app.spec.redis.managed
    if managed is None:
        return
    found = draft.facts.claims.get(names.part(app.name, ComponentName.REDIS))
    claim = redis.claim(app, managed, found)
    draft.apply += [claim, redis.service(app)]
    uid = _usable_uid(draft.facts, app, ComponentName.REDIS)
    stateful_set = redis.stateful_set(app, settings, managed)
    _rotation(draft, app, stateful_set)
    others = []
    if redis_cache.wanted(app) is not None:
        draft.apply.append(redis_cache.service(app))
        others = [redis_cache.deployment(app, settings, managed)]
    _plan_data(draft, claim, [redis.secret(app, uid)], stateful_set, others)


def _plan_cloudnativepg(draft: _Draft, app: AIApp, settings: Settings) -> None:
    """The Cluster first, since it owns its Secrets; what they were made for is written on it when they are there."""
    wanted = app.spec.postgres.cloud_native_pg
    if wanted is None:
        return
    found = draft.facts.clusters.get(names.part(app.name, ComponentName.POSTGRES))
    rotation = ""
    if found is not None and not found.deleting:
        rotation = cloudnativepg.rotation(app, found)
        rotated = found.rotation not in {"", rotation}
        for secret in cloudnativepg.secrets(app, found):
            if rotated or not found.rotation or secret.name in draft.facts.missing_secrets:
                draft.secrets.append(replace(secret, replace=rotated or not found.rotation))
    cluster = cloudnativepg.cluster(app, settings, wanted, rotation)
    draft.gate("CloudNativePGInstalled", [cluster], is_open=cluster["kind"] not in draft.facts.absent_kinds)


def _usable_uid(facts: Facts, app: AIApp, component: ComponentName) -> str:
    """uid of the volume; empty while it is not seen, or on its way out: a Secret owned by it would go with it."""
    claim = facts.claims.get(names.part(app.name, component))
    return "" if claim is None or claim.deleting else claim.uid


def _rotation(draft: _Draft, app: AIApp, stateful_set: Manifest) -> str:
    """What the passwords of a database are made for; written on it, outside of its pods' template."""
    rotation = database_roles.wanted_rotation(app, _rotated(draft.facts, object_key(stateful_set)))
    if rotation:
        stateful_set["metadata"]["annotations"] = {names.ANNOTATION_ROTATION: rotation}
    return rotation


def _rotated(facts: Facts, key: ObjectKey) -> str:
    workload = facts.workloads.get(key)
    return "" if workload is None else workload.rotation


def _plan_data(
    draft: _Draft,
    claim: Manifest,
    secrets: list[GeneratedSecret],
    stateful_set: Manifest,
    others: Sequence[Manifest] = (),
) -> None:
    """Volume, then Secrets, then the mark on the volume that they are its own, then what starts with them.

    Without the mark a Secret that is there may be that of an earlier volume, which garbage collection has yet to
    take; nothing has started with it, so it is replaced. With it a Secret is made again only where a pod misses it.
    """
    found = draft.facts.claims.get(claim["metadata"]["name"])
    usable = found is not None and not found.deleting
    if found is not None and usable:
        claim["metadata"]["annotations"] = {names.ANNOTATION_SECRETS: found.uid}
    made = found is not None and usable and found.secrets_made
    key = object_key(stateful_set)
    exists = key in draft.facts.keys
    annotations = stateful_set["metadata"].get("annotations", {})
    rotated = exists and annotations.get(names.ANNOTATION_ROTATION, "") != _rotated(draft.facts, key)
    for secret in secrets if usable else ():
        if rotated or not made or secret.name in draft.facts.missing_secrets:
            draft.secrets.append(replace(secret, replace=rotated or not made))
    draft.gate(f"VolumeOf{key.name}", [stateful_set, *others], is_open=made or exists)


def _plan_inference(draft: _Draft, app: AIApp, settings: Settings) -> None:
    for entry in app.spec.inference:
        claim = inference.cache_claim(app, entry, draft.facts.claims.get(names.inference_cache(app.name, entry.name)))
        if claim is not None:
            draft.apply.append(claim)
        if entry.autoscaling is not None:
            draft.apply.append(inference.pods_service(app, entry))
        draft.apply += [inference.service(app, entry), inference.deployment(app, settings, entry)]


def _plan_restore(draft: _Draft, app: AIApp, settings: Settings) -> bool:
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


def _plan_backups(draft: _Draft, app: AIApp, settings: Settings, *, migrated: bool) -> None:
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


def _plan_migration(draft: _Draft, app: AIApp, settings: Settings) -> bool:
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
        return _usable_uid(facts, app, ComponentName.POSTGRES), workload is not None and workload.serving > 0
    if app.spec.postgres.cloud_native_pg is not None:
        cluster = facts.clusters.get(name)
        usable = cluster is not None and not cluster.deleting
        return (cluster.uid, cluster.ready > 0 and cluster.primary) if cluster is not None and usable else ("", False)
    return "", True


def _revision(app: AIApp, settings: Settings) -> list[Manifest]:
    """The objects that belong together and to one schema of the database."""
    config = service_config.rendered_config(app)
    return [
        service_config.config_map(app, config),
        api.deployment(app, settings, config),
        *(worker.deployment(app, settings, config, entry) for entry in app.spec.workers),
    ]
