"""For any AIApp in any state of its cluster: plan and status are the same each time, and the status conforms."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiapp_operator.api.facts import (
    BackendFault,
    BackendHealth,
    Cause,
    Claim,
    Facts,
    HealthStatus,
    Job,
    JobState,
    Severity,
    UnservedModel,
    Workload,
)
from aiapp_operator.api.manifest import object_key
from aiapp_operator.build.plan import desired
from aiapp_operator.errors import Retry, Stalled, Waiting
from aiapp_operator.status.conditions import evaluate, transitions
from tests.unit.operator.examples import LLAMA, SETTINGS, after, make_app, settled
from tests.unit.operator.status import conformance

T0, T1 = "2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z"

specs = st.fixed_dictionaries(
    {},
    optional={
        "suspend": st.booleans(),
        "deletionPolicy": st.sampled_from(["Retain", "Delete"]),
        "image": st.sampled_from(["", "service:2"]),
        "api": st.fixed_dictionaries({"replicas": st.integers(0, 3)}),
        "workers": st.just([{"name": "emb", "queues": ["embeddings"]}]),
        "inference": st.just([LLAMA]),
        "postgres": st.just({"external": {"urlSecretRef": {"name": "db", "key": "url"}}}),
        "migrations": st.fixed_dictionaries({"enabled": st.booleans()}),
        "networkPolicy": st.fixed_dictionaries({"enabled": st.booleans()}),
    },
)
causes = st.none() | st.builds(
    Cause,
    severity=st.sampled_from(Severity),
    reason=st.sampled_from(["CrashLoopBackOff", "SecretMissing", "Starting"]),
    message=st.sampled_from(["one", "two"]),
)
failures = st.none() | st.sampled_from(
    [Stalled("NameConflict", "taken"), Retry("ApplyFailed", "500"), Waiting("Terminating", "soon", seconds=5)]
)
faults = st.sampled_from(
    [
        (),
        (BackendFault("openai/gpt", "refused_key", 401),),
        (BackendFault("lab/a/b", "connect"), BackendFault("x", "?")),
    ]
)
unserved = st.sampled_from([(), (UnservedModel("chat", ("openai/gpt",)),), (UnservedModel("a"), UnservedModel("b"))])
healths = st.none() | st.builds(
    BackendHealth,
    status=st.sampled_from(HealthStatus),
    failing=st.sampled_from([(), ("llm",), ("llm", "redis")]),
    faults=faults,
    unserved=unserved,
    words=st.sampled_from([None, ("Degraded", "as before")]),
)


@st.composite
def facts_of(draw, app):
    """Facts about any part of what the finished app would have."""
    plan, _ = settled(app)
    present = [manifest for manifest in plan.apply if draw(st.booleans())]
    keys = [object_key(manifest) for manifest in present]
    counts = st.integers(0, 3)
    return Facts(
        keys=frozenset(keys),
        workloads={
            key: Workload(
                key,
                revision=draw(st.sampled_from(["", "old", _revision(manifest)])),
                desired=draw(counts),
                observed=draw(st.booleans()),
                pods=draw(counts),
                ready=draw(counts),
                serving=draw(counts),
                cause=draw(causes),
            )
            for key, manifest in zip(keys, present, strict=True)
            if key.kind in {"Deployment", "StatefulSet"}
        },
        jobs={
            name: Job(name, draw(st.sampled_from(JobState)), draw(st.booleans()), cause=draw(causes), database=uid)
            for name in [*(key.name for key in keys if key.kind == "Job"), *draw(st.sampled_from([[], ["old"]]))]
            for uid in [draw(st.sampled_from(["", "uid"]))]
        },
        claims={
            key.name: Claim(
                key.name, "uid", requested="1Gi", deleting=draw(st.booleans()), secrets_made=draw(st.booleans())
            )
            for key in keys
            if key.kind == "PersistentVolumeClaim"
        },
        missing_secrets=frozenset(draw(st.sets(st.sampled_from(["shop-postgres", "shop-redis", "db"])))),
        backends=draw(healths),
    )


def _revision(manifest):
    template = manifest.get("spec", {}).get("template", {})
    return template.get("metadata", {}).get("annotations", {}).get("aiapp.dev/revision", "")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_plan_and_status(data):
    app = make_app(**data.draw(specs))
    facts = data.draw(facts_of(app))
    failure = data.draw(failures)
    plan = desired(app, facts, SETTINGS)
    assert desired(app, facts, SETTINGS) == plan
    keys = [object_key(manifest) for manifest in plan.apply]
    assert len(set(keys)) == len(keys)
    assert plan.hold.isdisjoint(keys)
    assert plan.hold <= facts.keys | {k for k in plan.hold if k.kind == "Job"}

    previous = evaluate(app, data.draw(facts_of(app)), plan, None, previous=None, now=T0)
    conformance.check(previous, None, generation=1, now=T0)
    status = evaluate(app, facts, plan, failure, previous=previous, now=T1)
    conformance.check(status, previous, generation=1, now=T1)
    assert evaluate(app, facts, plan, failure, previous=status, now="2030-01-01T00:00:00Z") == status
    assert transitions(status, status) == []
    transitions(previous, status)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_happened_the_plan_settles_once_everything_works(data):
    """From any state: carried out again and again, with what it makes becoming ready, the plan reaches its end."""
    app = make_app(**data.draw(specs.map(lambda spec: {**spec, "suspend": False})))
    final, settled_facts = settled(app)
    facts = data.draw(facts_of(app))
    for _ in range(12):
        plan = desired(app, facts, SETTINGS)
        facts = carried_out(plan, facts)
    assert desired(app, facts, SETTINGS) == final
    status = evaluate(app, settled_facts, final, None, previous=None, now=T0)
    assert next(c for c in status["conditions"] if c["type"] == "Ready")["status"] == "True"


def carried_out(plan, facts):
    """The cluster after one round: applied and created objects work, what is neither planned nor held is gone."""
    made = after(plan)
    held_jobs = {key.name for key in plan.hold if key.kind == "Job"}
    finished = {
        name: Job(name, JobState.COMPLETE, database=job.database)
        for name, job in facts.jobs.items()
        if name in held_jobs
    }
    kept_claims = {name: claim for name, claim in facts.claims.items() if claim.deleting}
    claims = {name: made.claims[name] for name in made.claims if name not in kept_claims}
    return Facts(
        keys=made.keys | plan.hold,
        workloads={**{k: w for k, w in facts.workloads.items() if k in plan.hold}, **made.workloads},
        jobs={**finished, **made.jobs},
        claims=claims,
    )
