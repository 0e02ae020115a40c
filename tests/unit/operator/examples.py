"""Small AIApps and facts for tests of builders and conditions."""

from typing import Any

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Claim, Facts, Job, JobState, Workload
from aiapp_operator.api.manifest import Manifest, object_key
from aiapp_operator.api.plan import Plan
from aiapp_operator.build.plan import desired
from aiapp_operator.build.pod import revision_of
from aiapp_operator.config import Settings

SETTINGS = Settings()
LLAMA: Manifest = {"name": "llama", "engine": "llamaCpp", "model": {"source": "image://models:1#/llama.gguf"}}


def make_app(name: str = "shop", *, generation: int = 1, **spec: Any) -> AIApp:
    """An AIApp as the API server sends it."""
    metadata = {"name": name, "namespace": "team", "uid": "app-uid", "generation": generation}
    return AIApp.model_validate({"metadata": metadata, "spec": spec})


def keys(plan: Plan) -> list[str]:
    """What a plan applies, in its order."""
    return [str(object_key(manifest)) for manifest in plan.apply]


def find(plan: Plan, key: str) -> Manifest:
    """One object of a plan, by KIND/NAME."""
    return next(manifest for manifest in plan.apply if str(object_key(manifest)) == key)


def after(plan: Plan, *, ready: bool = True, job: JobState = JobState.COMPLETE, uid: str = "uid") -> Facts:
    """Facts once a plan was carried out."""
    workloads = {}
    for manifest in plan.apply:
        key = object_key(manifest)
        if key.kind in {"Deployment", "StatefulSet"}:
            count = manifest["spec"].get("replicas", 1)
            up = count if ready else 0
            asleep = names.ANNOTATION_ASLEEP in manifest["metadata"].get("annotations", {})
            workloads[key] = Workload(key, revision_of(manifest), count, True, count, up, up, left=count, asleep=asleep)
    jobs = [manifest for manifest in plan.apply if manifest["kind"] == "Job"]
    services = [manifest for manifest in plan.apply if manifest["kind"] == "Service"]
    return Facts(
        keys=frozenset(object_key(manifest) for manifest in plan.apply),
        fronts={m["metadata"]["name"]: m["spec"]["selector"][names.LABEL_COMPONENT] for m in services},
        workloads=workloads,
        jobs={
            manifest["metadata"]["name"]: Job(
                manifest["metadata"]["name"],
                job,
                result="0002" if job is JobState.COMPLETE else "",
                database=manifest["metadata"].get("annotations", {}).get(names.ANNOTATION_DATABASE, ""),
            )
            for manifest in jobs
        },
        claims={
            manifest["metadata"]["name"]: Claim(
                manifest["metadata"]["name"],
                uid,
                requested="1Gi",
                bound=True,
                secrets_made=manifest["metadata"].get("annotations", {}).get(names.ANNOTATION_SECRETS) == uid,
            )
            for manifest in plan.apply
            if manifest["kind"] == "PersistentVolumeClaim"
        },
    )


def settled(app: AIApp) -> tuple[Plan, Facts]:
    """The plan and the facts when nothing moves any more."""
    facts = Facts()
    for _ in range(10):
        plan = desired(app, facts, SETTINGS)
        new = after(plan)
        if new == facts:
            return plan, facts
        facts = new
    raise AssertionError("the plan does not settle")
