"""All children of an AIApp as they will be in the end, without a cluster."""

from dataclasses import replace

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Claim, Cluster, Facts, Job, JobState, Run, Workload
from aiapp_operator.api.manifest import Manifest, ObjectKey, object_key
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import Plan
from aiapp_operator.build.plan import desired
from aiapp_operator.config import Settings

PLACEHOLDER = "GENERATED"
_MADE_OF_UIDS = frozenset({names.ANNOTATION_DATABASE, names.ANNOTATION_SECRETS})


def render(app: AIApp, settings: Settings) -> list[Manifest]:
    """The children of `app`, generated Secrets with a placeholder for the password.

    Left out is what only a cluster knows: uids, ownerReferences and the annotations made of them.

    Raises:
        Stalled: the spec cannot be turned into objects; reason InvalidSpec.
    """
    facts = Facts()
    once: dict[ObjectKey, Manifest] = {}
    while True:
        plan = desired(app, facts, settings)
        once |= {object_key(m): m for m in plan.apply if m["kind"] == "Job" and _component(m) in names.RUNS}
        settled = _after(plan, facts)
        if settled == facts:
            break
        facts = settled
    # As it is before the Secrets are made.
    clusters = {name: replace(cluster, secrets_made=False) for name, cluster in facts.clusters.items()}
    claims = {name: replace(claim, secrets_made=False) for name, claim in facts.claims.items()}
    secrets = desired(app, replace(facts, claims=claims, clusters=clusters), settings).secrets
    # Jobs that are made once and then left alone.
    held = [manifest for key, manifest in once.items() if key in plan.hold]
    made = [*(secret.manifest(PLACEHOLDER) for secret in secrets), *plan.apply, *held]
    return [_offline(manifest) for manifest in made]


def _after(plan: Plan, facts: Facts) -> Facts:
    """Facts after `plan` was carried out and everything in it became ready."""
    applied = {object_key(manifest): manifest for manifest in plan.apply}
    claims = {
        key.name: Claim(key.name, uid="offline", secrets_made=_annotation(manifest, names.ANNOTATION_SECRETS) != "")
        for key, manifest in applied.items()
        if key.kind == "PersistentVolumeClaim"
    }
    jobs = {
        key.name: Job(
            key.name,
            JobState.COMPLETE,
            database=_annotation(manifest, names.ANNOTATION_DATABASE),
        )
        for key, manifest in applied.items()
        if key.kind == "Job" and _component(manifest) not in names.RUNS
    }
    runs = {name: run for name, run in facts.runs.items() if ObjectKey("Job", name) in plan.hold} | {
        key.name: Run(key.name, component, JobState.COMPLETE, database=_annotation(manifest, names.ANNOTATION_DATABASE))
        for key, manifest in applied.items()
        if key.kind == "Job" and (component := _component(manifest)) in names.RUNS
    }
    workloads: dict[ObjectKey, Workload] = {
        key: Workload(key, observed=True, serving=1) for key in applied if key.kind in {"Deployment", "StatefulSet"}
    }
    clusters = {
        key.name: Cluster(
            key.name,
            uid="offline",
            ready=1,
            primary=True,
            rotation=_annotation(manifest, names.ANNOTATION_ROTATION),
            secrets_made=_annotation(manifest, names.ANNOTATION_SECRETS) != "",
        )
        for key, manifest in applied.items()
        if key.kind == "Cluster"
    }
    services = {key.name: manifest for key, manifest in applied.items() if key.kind == "Service"}
    fronts = {name: service["spec"]["selector"][names.LABEL_COMPONENT] for name, service in services.items()}
    return replace(
        facts,
        fronts=fronts,
        keys=frozenset(applied) | plan.hold,
        claims=claims,
        jobs=jobs,
        runs=runs,
        workloads=workloads,
        clusters=clusters,
    )


def _annotation(manifest: Manifest, name: str) -> str:
    return str((manifest["metadata"].get("annotations") or {}).get(name, ""))


def _component(manifest: Manifest) -> ComponentName:
    return ComponentName(manifest["metadata"]["labels"][names.LABEL_COMPONENT])


def _offline(manifest: Manifest) -> Manifest:
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "ownerReferences"}
    found = metadata.get("annotations", {})
    annotations = {name: value for name, value in found.items() if name not in _MADE_OF_UIDS}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {**manifest, "metadata": metadata}
