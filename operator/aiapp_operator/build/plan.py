"""What an AIApp needs right now, as a pure function of its spec and of what is observed.

Stages wait for each other by gates on facts: a volume is seen -> its password is created -> the
database starts -> it is ready -> the migration of this revision completes -> the revision is rolled
out. What a closed gate blocks and what exists already is held: neither applied nor pruned, so that
the old revision serves on.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Facts
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest, object_key
from aiapp_operator.api.plan import PASSWORD, Gate, GeneratedSecret, Plan
from aiapp_operator.build import (
    api,
    autoscaler,
    inference,
    keda,
    metadata,
    network_policy,
    redis_cache,
    service_config,
    sleep,
    worker,
)
from aiapp_operator.build.draft import Draft
from aiapp_operator.build.plan_databases import plan_cloudnativepg, plan_postgres, plan_redis
from aiapp_operator.build.plan_jobs import plan_backups, plan_migration, plan_restore
from aiapp_operator.build.pod import revision_of
from aiapp_operator.config import Settings

__all__ = ["PASSWORD", "Gate", "GeneratedSecret", "Plan", "desired"]


def desired(app: AIApp, facts: Facts, settings: Settings) -> Plan:
    """The plan for `app`.

    Manifests are complete intents without ownerReferences, except where `metadata.ownerReferences`
    is given: then it is the whole truth (empty for data that outlives the AIApp).

    Raises:
        Stalled: the spec cannot be turned into objects; reason InvalidSpec.
    """
    draft = Draft(facts, asleep=sleep.sleeps(app))
    draft.apply += [metadata.service_account(app), *_network_policies(app)]
    plan_postgres(draft, app, settings)
    plan_cloudnativepg(draft, app, settings)
    plan_redis(draft, app, settings)
    _plan_inference(draft, app, settings)
    draft.apply.append(api.service(app))
    if app.spec.pod_disruption_budget.enabled:
        draft.apply.append(api.disruption_budget(app))
    draft.apply += autoscaler.autoscalers(app)
    has_keda = keda.KIND not in draft.facts.absent_kinds
    if not has_keda:
        draft.apply = [keda.without_it(app, manifest) for manifest in draft.apply]
    draft.gate("KEDAInstalled", keda.scaled_objects(app, settings), is_open=has_keda)
    migrated = plan_restore(draft, app, settings) and plan_migration(draft, app, settings)
    plan_backups(draft, app, settings, migrated=migrated)
    draft.gate("Migrated", _revision(app, settings), is_open=migrated or sleep.sleeps(app))
    plan = Plan(tuple(draft.apply), tuple(draft.secrets), frozenset(draft.hold), tuple(draft.gates), draft.downloads)
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


def _plan_inference(draft: Draft, app: AIApp, settings: Settings) -> None:
    for entry in app.spec.inference:
        claim = inference.cache_claim(app, entry, draft.facts.claims.get(names.inference_cache(app.name, entry.name)))
        if claim is not None:
            draft.apply.append(claim)
        if entry.autoscaling is not None:
            draft.apply.append(inference.pods_service(app, entry))
        draft.apply.append(inference.service(app, entry))
        _plan_model(draft, app, settings, entry)


def _plan_model(draft: Draft, app: AIApp, settings: Settings, entry: Inference) -> None:
    """Downloads, then the pods that need them: those of before serve on until then, and what they need stays."""
    wanted = inference.deployment(app, settings, entry)
    workload = draft.facts.workloads.get(object_key(wanted))
    settled = workload is not None and workload.runs_only(revision_of(wanted))
    stage = inference.stage(app, settings, entry, draft.facts, settled=settled)
    draft.apply += stage.jobs
    draft.hold |= stage.hold
    draft.downloads[entry.name] = stage.names
    draft.gate(f"ModelOf{entry.name}", [wanted], is_open=stage.complete)


def _revision(app: AIApp, settings: Settings) -> list[Manifest]:
    """The objects that belong together and to one schema of the database."""
    config = service_config.rendered_config(app)
    return [
        service_config.config_map(app, config),
        api.deployment(app, settings, config),
        *(worker.deployment(app, settings, config, entry) for entry in app.spec.workers),
    ]
