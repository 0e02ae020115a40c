"""Putting an AIApp to sleep and waking it: a plan of a running AIApp, held back stage by stage.

To sleep: a stand-in answers -> the Service leads to it -> API and workers drain -> inference stops -> databases stop.
To wake: databases and inference start -> a migration, where one is due -> API -> workers; the Service leads to the API
again when that serves, and the stand-in goes. At every moment the Service leads to something that answers. Each stage
is read from facts, so that both ways can be turned around at any point, and a restart goes on where it was.
"""

from dataclasses import dataclass, replace

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.autoscaling import Autoscaling
from aiapp_operator.api.facts import Cause, Facts, Job, JobState, Run, Severity
from aiapp_operator.api.manifest import Manifest, ObjectKey, object_key
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import Gate, GeneratedSecret, Plan
from aiapp_operator.api.sleep import SleepingDatabases, State
from aiapp_operator.build import standin
from aiapp_operator.config import Settings

CLIENTS = frozenset({ComponentName.API, ComponentName.WORKER})
DATABASES = frozenset({ComponentName.POSTGRES, ComponentName.REDIS, ComponentName.REDIS_CACHE})
_WORKLOADS = frozenset({"Deployment", "StatefulSet", "Cluster"})
_AUTOSCALERS = frozenset({"HorizontalPodAutoscaler", "ScaledObject"})


def sleeps(app: AIApp) -> bool:
    """Whether the AIApp is to sleep."""
    return app.spec.state is State.SLEEPING


def arrange(app: AIApp, settings: Settings, facts: Facts, plan: Plan) -> Plan:
    """`plan`, which is for a running AIApp, as it is while it falls asleep, sleeps or wakes."""
    if sleeps(app):
        return _to_sleep(app, settings, facts, plan)
    front = names.part(app.name, ComponentName.API)
    asleep = any(w.asleep for w in facts.workloads.values()) or any(c.asleep for c in facts.clusters.values())
    if not asleep and facts.fronts.get(front) != ComponentName.SLEEPING and standin.key(app) not in facts.keys:
        return plan
    return _to_wake(app, settings, facts, plan)


@dataclass(frozen=True)
class Depth:
    """How far it is by now; each comes after the one before."""

    fronted: bool  # the Service leads to the stand-in
    drained: bool  # no pod of API and workers is left
    emptied: bool  # none of inference either
    settled: bool  # and no Job works with the databases

    @classmethod
    def of(cls, app: AIApp, facts: Facts) -> "Depth":
        """Read from `facts`."""
        front = facts.fronts.get(names.part(app.name, ComponentName.API))
        fronted = front == ComponentName.SLEEPING
        drained = fronted and _gone(app, facts, CLIENTS)
        emptied = drained and _gone(app, facts, frozenset({ComponentName.INFERENCE}))
        return cls(fronted, drained, emptied, emptied and not _at_work(facts))

    def rests(self, component: ComponentName, *, databases: bool) -> bool:
        """Whether the turn of `component` has come. `databases` says whether they stop at all."""
        if component in CLIENTS:
            return self.fronted
        if component is ComponentName.INFERENCE:
            return self.drained
        return databases and self.settled


def stops_databases(app: AIApp) -> bool:
    """Whether managed databases sleep too."""
    return app.spec.sleep.databases is SleepingDatabases.STOP


def _to_sleep(app: AIApp, settings: Settings, facts: Facts, plan: Plan) -> Plan:
    depth, databases = Depth.of(app, facts), stops_databases(app)
    apply: list[Manifest] = [standin.deployment(app, settings)]
    hold = {key for key in plan.hold if key.kind != "Job"} | _kept_jobs(facts, databases=databases and depth.settled)
    stand_in = facts.workloads.get(standin.key(app))
    fronted = depth.fronted or (stand_in is not None and stand_in.serving > 0)
    for manifest in plan.apply:
        kind, component = manifest["kind"], _component(manifest)
        rests = depth.rests(component, databases=databases) if component is not None else depth.fronted
        if kind == "Job" or (kind in _AUTOSCALERS and rests):
            continue  # a Job that is there is held above; an autoscaler of what rests goes
        if kind in _WORKLOADS and rests:
            apply.append(_at_rest(manifest))
        elif kind in _WORKLOADS and component in DATABASES and not databases:
            apply.append(manifest)
        elif kind in _WORKLOADS | _AUTOSCALERS or (kind == "ConfigMap" and not rests):
            # What is not there yet begins at rest, when its turn has come.
            hold |= facts.keys & {object_key(manifest)}
        else:
            apply.append(_besides(app, manifest, fronted=fronted, databases=databases))
    secrets = tuple(secret for secret in plan.secrets if not _rotates(app, facts, secret, hold))
    return replace(plan, apply=tuple(apply), hold=frozenset(hold), secrets=secrets)


def _rotates(app: AIApp, facts: Facts, secret: GeneratedSecret, hold: set[ObjectKey]) -> bool:
    """Whether a Secret is replaced for a rotation that its database cannot be told of now: it would be, each time."""
    database = names.part(app.name, ComponentName(secret.labels[names.LABEL_COMPONENT]))
    claim = facts.claims.get(database)
    held = {ObjectKey("StatefulSet", database), ObjectKey("Cluster", database)} & hold
    return secret.replace and bool(held) and (claim is None or claim.secrets_made)


def _to_wake(app: AIApp, settings: Settings, facts: Facts, plan: Plan) -> Plan:
    apply: list[Manifest] = []
    hold, gates = set(plan.hold), list(plan.gates)
    front = facts.fronts.get(names.part(app.name, ComponentName.API))
    fronted = front == ComponentName.SLEEPING and not _serves(app, facts)
    if fronted:
        apply.append(standin.deployment(app, settings))
    asleep = {key.name for key, found in facts.workloads.items() if found.asleep}
    for manifest in plan.apply:
        key = object_key(manifest)
        component = _component(manifest)
        if key.kind in _AUTOSCALERS and key.name in asleep:
            # It does nothing for a workload without pods.
            hold |= facts.keys & {key}
        elif key.kind == "Deployment" and key.name in asleep:
            if _may_wake(app, facts, component):
                apply.append(_awakened(app, manifest))
            else:
                hold.add(key)
                gates.append(Gate("Awake", open=False, blocks=(key,)))
        else:
            apply.append(_besides(app, manifest, fronted=fronted, databases=False))
    return replace(plan, apply=tuple(apply), hold=frozenset(hold), gates=tuple(gates))


def _besides(app: AIApp, manifest: Manifest, *, fronted: bool, databases: bool) -> Manifest:
    """What is no workload: where the Service leads, and whether backups are made."""
    if manifest["kind"] == "CronJob" and databases and app.spec.postgres.external is None:
        return {**manifest, "spec": {**manifest["spec"], "suspend": True}}
    if object_key(manifest) == ("Service", names.part(app.name, ComponentName.API)) and fronted:
        selector = names.selector(app.name, ComponentName.SLEEPING)
        return {**manifest, "spec": {**manifest["spec"], "selector": selector}}
    return manifest


def _at_rest(manifest: Manifest) -> Manifest:
    if manifest["kind"] == "Cluster":
        return _annotated(manifest, names.ANNOTATION_HIBERNATION, "on")
    return _annotated({**manifest, "spec": {**manifest["spec"], "replicas": 0}}, names.ANNOTATION_ASLEEP, "true")


def _annotated(manifest: Manifest, name: str, value: str) -> Manifest:
    annotations = {**manifest["metadata"].get("annotations", {}), name: value}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


def _awakened(app: AIApp, manifest: Manifest) -> Manifest:
    """An autoscaler leaves alone what has no pods: it gets its least number once, which is then the autoscaler's."""
    least = _least(app, _component(manifest), manifest["metadata"]["labels"].get(names.LABEL_NAME, ""))
    return {**manifest, "spec": {"replicas": least, **manifest["spec"]}} if least else manifest


def _least(app: AIApp, component: ComponentName | None, entry: str) -> int:
    """autoscaling.minReplicas; 0 where there is no autoscaling."""
    found: list[Autoscaling | None] = []
    if component is ComponentName.API:
        found = [app.spec.api.autoscaling]
    elif component is ComponentName.WORKER:
        found = [worker.autoscaling for worker in app.spec.workers if worker.name == entry]
    elif component is ComponentName.INFERENCE:
        found = [engine.autoscaling for engine in app.spec.inference if engine.name == entry]
    return next((scaled.min_replicas for scaled in found if scaled is not None), 0)


def _component(manifest: Manifest) -> ComponentName | None:
    found = manifest["metadata"]["labels"].get(names.LABEL_COMPONENT)
    return ComponentName(found) if found else None


def _gone(app: AIApp, facts: Facts, components: frozenset[ComponentName]) -> bool:
    """Whether none of these workloads has pods, or will have: not even ones that are still being stopped."""
    prefixes = tuple(f"{names.part(app.name, component)}-" for component in components)
    return all(
        found.desired == 0 and found.observed and found.pods == 0 and found.left == 0
        for key, found in facts.workloads.items()
        if f"{key.name}-".startswith(prefixes)
    )


def _at_work(facts: Facts) -> bool:
    """Whether a migration, a backup or a restore is under way and gets on."""
    return any(job.state is JobState.ACTIVE and _passes(job.cause) and _needs_database(job) for job in _jobs(facts))


def _jobs(facts: Facts) -> list[Job | Run]:
    return [*facts.jobs.values(), *facts.runs.values()]


def _needs_database(job: Job | Run) -> bool:
    """Downloads of models go on while everything else sleeps."""
    return not (isinstance(job, Run) and job.component is ComponentName.MODEL)


def _passes(cause: Cause | None) -> bool:
    return cause is None or cause.severity is Severity.PROGRESSING


def _kept_jobs(facts: Facts, *, databases: bool) -> set[ObjectKey]:
    """Jobs are neither made nor removed; but one that cannot get on would fail without its database, so it goes."""
    kept = {
        job.name for job in _jobs(facts) if not (databases and job.state is JobState.ACTIVE and _needs_database(job))
    }
    return {ObjectKey("Job", name) for name in kept} & facts.keys


def _may_wake(app: AIApp, facts: Facts, component: ComponentName | None) -> bool:
    if component is ComponentName.API:
        return _databases_serve(app, facts)
    if component is ComponentName.WORKER:
        return _api_serves(app, facts)
    return True


def _databases_serve(app: AIApp, facts: Facts) -> bool:
    name, redis = names.part(app.name, ComponentName.POSTGRES), names.part(app.name, ComponentName.REDIS)
    postgres, spec = True, app.spec
    if spec.postgres.managed is not None:
        postgres = _serving(facts, name, "StatefulSet")
    elif spec.postgres.cloud_native_pg is not None:
        cluster = facts.clusters.get(name)
        postgres = cluster is not None and not cluster.asleep and cluster.ready > 0 and cluster.primary
    return postgres and (spec.redis.managed is None or _serving(facts, redis, "StatefulSet"))


def _serves(app: AIApp, facts: Facts) -> bool:
    """Whether the API can take requests again: its models are there, or will not be for a while."""
    waited_for = [entry for entry in app.spec.inference if entry.autoscaling is None or entry.autoscaling.min_replicas]
    names_ = [names.part(app.name, ComponentName.INFERENCE, entry.name) for entry in waited_for]
    return _api_serves(app, facts) and all(_serving(facts, name) or _fails(facts, name) for name in names_)


def _api_serves(app: AIApp, facts: Facts) -> bool:
    wanted = app.spec.api.replicas > 0 or app.spec.api.autoscaling is not None
    return not wanted or _serving(facts, names.part(app.name, ComponentName.API))


def _serving(facts: Facts, name: str, kind: str = "Deployment") -> bool:
    found = facts.workloads.get(ObjectKey(kind, name))
    return found is not None and found.serving > 0


def _fails(facts: Facts, name: str) -> bool:
    found = facts.workloads.get(ObjectKey("Deployment", name))
    return found is not None and not _passes(found.cause)
