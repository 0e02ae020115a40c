"""The part of a plan that is databases: volumes, their passwords, the servers that start with them."""

from collections.abc import Sequence
from dataclasses import replace

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Facts
from aiapp_operator.api.manifest import Manifest, ObjectKey, object_key
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import GeneratedSecret
from aiapp_operator.build import (
    addresses,
    cloudnativepg,
    data,
    database_roles,
    postgres,
    redis,
    redis_cache,
)
from aiapp_operator.build.draft import Draft
from aiapp_operator.config import Settings


def plan_postgres(draft: Draft, app: AIApp, settings: Settings) -> None:
    """PostgreSQL of one pod, and a Secret for each role."""
    managed = app.spec.postgres.managed
    if managed is None:
        return
    found = draft.facts.claims.get(names.part(app.name, ComponentName.POSTGRES))
    claim = postgres.claim(app, managed, found)
    draft.apply += [claim, postgres.service(app)]
    uid = usable_uid(draft.facts, app, ComponentName.POSTGRES)
    owner = data.claim_reference(app, ComponentName.POSTGRES, uid)
    stateful_set = postgres.stateful_set(app, settings, managed)
    rotation = _rotation(draft, app, stateful_set)
    secrets = database_roles.secrets(app, addresses.host(app, ComponentName.POSTGRES), owner, rotation)
    _plan_data(draft, claim, secrets, stateful_set)


def plan_redis(draft: Draft, app: AIApp, settings: Settings) -> None:
    """Redis for jobs and limits, and one for cached answers where there are any."""
    managed = app.spec.redis.managed
    if managed is None:
        return
    found = draft.facts.claims.get(names.part(app.name, ComponentName.REDIS))
    claim = redis.claim(app, managed, found)
    draft.apply += [claim, redis.service(app)]
    uid = usable_uid(draft.facts, app, ComponentName.REDIS)
    stateful_set = redis.stateful_set(app, settings, managed)
    _rotation(draft, app, stateful_set)
    others = []
    if redis_cache.wanted(app) is not None:
        draft.apply.append(redis_cache.service(app))
        others = [redis_cache.deployment(app, settings, managed)]
    _plan_data(draft, claim, [redis.secret(app, uid)], stateful_set, others)


def plan_cloudnativepg(draft: Draft, app: AIApp, settings: Settings) -> None:
    """The Cluster first, since it owns its Secrets; that they were made for it is written on it when they are there.

    The mark is its uid: an apply that meets the deletion of the Cluster before makes one with the annotations of that.
    """
    wanted = app.spec.postgres.cloud_native_pg
    if wanted is None:
        return
    found = draft.facts.clusters.get(names.part(app.name, ComponentName.POSTGRES))
    annotations: dict[str, str] = {}
    if found is not None and not found.deleting:
        rotation = database_roles.wanted_rotation(app, found.rotation)
        annotations = cloudnativepg.marks(found.uid, rotation)
        renewed = not found.secrets_made or found.rotation != rotation
        for secret in cloudnativepg.secrets(app, found):
            if renewed or secret.name in draft.facts.missing_secrets:
                draft.secrets.append(replace(secret, replace=renewed))
    cluster = cloudnativepg.cluster(app, settings, wanted, annotations)
    draft.gate("CloudNativePGInstalled", [cluster], is_open=cluster["kind"] not in draft.facts.absent_kinds)


def usable_uid(facts: Facts, app: AIApp, component: ComponentName) -> str:
    """uid of the volume; empty while it is not seen, or on its way out: a Secret owned by it would go with it."""
    claim = facts.claims.get(names.part(app.name, component))
    return "" if claim is None or claim.deleting else claim.uid


def _rotation(draft: Draft, app: AIApp, stateful_set: Manifest) -> str:
    """What the passwords of a database are made for; written on it, outside of its pods' template."""
    rotation = database_roles.wanted_rotation(app, _rotated(draft.facts, object_key(stateful_set)))
    if rotation:
        stateful_set["metadata"]["annotations"] = {names.ANNOTATION_ROTATION: rotation}
    return rotation


def _rotated(facts: Facts, key: ObjectKey) -> str:
    workload = facts.workloads.get(key)
    return "" if workload is None else workload.rotation


def _plan_data(
    draft: Draft,
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
