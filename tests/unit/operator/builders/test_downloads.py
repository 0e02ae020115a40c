"""Downloads to the cache volume as stages of a plan: what is wanted comes before its pods, what was goes after."""

from dataclasses import replace

import pytest

from aiapp_operator.api.facts import Claim, Facts, JobState, Run, Workload
from aiapp_operator.api.manifest import ObjectKey, object_key
from aiapp_operator.api.names import ANNOTATION_DATABASE, ComponentName
from aiapp_operator.build.inference.source import identity
from aiapp_operator.build.plan import desired
from aiapp_operator.build.pod import revision_of
from aiapp_operator.errors import Stalled
from tests.unit.operator.examples import SETTINGS, keys, make_app

VOLUME = "shop-inference-m-cache"
POD = ObjectKey("Deployment", "shop-inference-m")
BASE = {"name": "m", "engine": "vLLM", "cache": {"size": "5Gi"}}
S3 = {"endpoint": "https://s3.example.com", "credentialsSecretRef": {"name": "s3"}}


def app(source="hf://org/name", revision="", **fields):
    return make_app(inference=[BASE | {"model": {"source": source, "revision": revision}} | fields])


def jobs(plan):
    return [m for m in plan.apply if m["metadata"]["labels"].get("aiapp.dev/component") == "model"]


def seen(facts, plan, state=JobState.COMPLETE, uid="uid"):
    """Facts after `plan` was carried out: its downloads ended, its pods run."""
    made = {
        m["metadata"]["name"]: Run(m["metadata"]["name"], ComponentName.MODEL, state, database=uid) for m in jobs(plan)
    }
    applied = {object_key(m): m for m in plan.apply}
    kept = {name: run for name, run in facts.runs.items() if ObjectKey("Job", name) in plan.hold}
    workloads = dict(facts.workloads)
    if POD in applied:
        workloads[POD] = Workload(POD, revision_of(applied[POD]), 1, True, 1, 1, 1)
    return replace(
        facts,
        keys=frozenset(applied) | plan.hold,
        claims={VOLUME: Claim(VOLUME, uid)},
        runs=kept | made,
        workloads=workloads,
    )


def settle(wanted, facts):
    """Until the plan asks for nothing new; gives every set of Jobs on the way."""
    way = []
    for _ in range(10):
        plan = desired(wanted, facts, SETTINGS)
        after = seen(facts, plan)
        way.append(set(after.runs))
        if after == facts:
            return plan, facts, way
        facts = after
    raise AssertionError("the plan does not settle")


def test_volume_then_download_then_pods():
    wanted = app()
    plan = desired(wanted, Facts(), SETTINGS)
    assert f"PersistentVolumeClaim/{VOLUME}" in keys(plan)
    assert jobs(plan) == []
    assert str(POD) not in keys(plan)
    facts = Facts(claims={VOLUME: Claim(VOLUME, "uid")})
    plan = desired(wanted, facts, SETTINGS)
    (job,) = jobs(plan)
    assert job["metadata"]["annotations"][ANNOTATION_DATABASE] == "uid"
    assert str(POD) not in keys(plan)
    assert str(POD) not in keys(desired(wanted, seen(facts, plan, JobState.ACTIVE), SETTINGS))
    assert str(POD) in keys(desired(wanted, seen(facts, plan), SETTINGS))


def test_a_download_is_made_once_and_left_alone():
    plan, facts, _ = settle(app(), Facts())
    assert jobs(plan) == [], "a Job cannot change: another image of the service must not be applied to it"
    assert {ObjectKey("Job", name) for name in facts.runs} <= plan.hold


def test_a_new_revision_comes_before_the_old_one_stops_and_then_the_old_one_goes():
    _, facts, _ = settle(app(revision="v1"), Facts())
    (old,) = facts.runs
    served = facts.workloads[POD].revision
    changed = app(revision="v2")
    plan = desired(changed, facts, SETTINGS)
    assert POD in plan.hold, "the old one serves on"
    assert ObjectKey("Job", old) in plan.hold
    downloading = seen(facts, plan, JobState.ACTIVE)
    assert POD in desired(changed, downloading, SETTINGS).hold
    _, facts, way = settle(changed, seen(facts, plan))
    assert facts.workloads[POD].revision != served
    (new,) = facts.runs
    assert new != old
    collecting = next(names for names in way if len(names) == 3)
    assert {old, new} < collecting, "what it has left is known until it is removed"


def test_nothing_is_removed_while_pods_of_the_old_model_run():
    _, facts, _ = settle(app(revision="v1"), Facts())
    changed = app(revision="v2")
    facts = seen(facts, desired(changed, facts, SETTINGS))
    rolling = desired(changed, facts, SETTINGS)
    applied = {object_key(m): m for m in rolling.apply}
    facts = seen(facts, rolling)
    half = replace(facts, workloads={POD: Workload(POD, revision_of(applied[POD]), 1, True, 2, 1, 2)})
    assert jobs(desired(changed, half, SETTINGS)) == []
    (collect,) = jobs(desired(changed, facts, SETTINGS))
    command = collect["spec"]["template"]["spec"]["containers"][0]["command"]
    kept = identity(changed.spec.inference[0].model)
    assert command == ["aiapp-service", "collect-models", "--into", "/volume", "--keep", kept]


def test_a_change_that_is_taken_back_stops_its_download():
    _, facts, _ = settle(app(revision="v1"), Facts())
    (old,) = facts.runs
    facts = seen(facts, desired(app(revision="v2"), facts, SETTINGS), JobState.ACTIVE)
    facts = replace(facts, runs={**facts.runs, old: replace(facts.runs[old], state=JobState.COMPLETE)})
    plan = desired(app(revision="v1"), facts, SETTINGS)
    (new,) = facts.runs.keys() - {old}
    assert str(POD) in keys(plan)
    _, facts, _ = settle(app(revision="v1"), facts)
    assert set(facts.runs) == {old}
    assert new not in facts.runs


def test_another_volume_is_filled_anew():
    _, facts, _ = settle(app(), Facts())
    (job,) = facts.runs
    lost = replace(facts, claims={VOLUME: Claim(VOLUME, "uid-2")})
    plan = desired(app(), lost, SETTINGS)
    assert ObjectKey("Job", job) not in plan.hold, "it filled a volume that is gone: pruned, then made anew"
    assert jobs(plan) == []
    assert POD in plan.hold
    (anew,) = jobs(desired(app(), replace(lost, runs={}), SETTINGS))
    assert anew["metadata"]["name"] == job


def test_each_adapter_is_a_download_of_its_own():
    adapters = [
        {"name": "support", "source": "hf://org/lora", "revision": "v1"},
        {"name": "own", "source": "file:///lora"},
    ]
    wanted = app(adapters=adapters)
    facts = Facts(claims={VOLUME: Claim(VOLUME, "uid")})
    plan = desired(wanted, facts, SETTINGS)
    sources = [j["spec"]["template"]["spec"]["containers"][0]["command"][3] for j in jobs(plan)]
    assert sources == ["hf://org/name", "hf://org/lora"]
    plan, facts, _ = settle(wanted, facts)
    pod = next(m for m in plan.apply if object_key(m) == POD)["spec"]["template"]["spec"]
    args = pod["containers"][0]["args"]
    adapter = identity(wanted.spec.inference[0].adapters[0])
    start = args.index("--lora-modules")
    assert args[start + 1 : start + 3] == [f"support=/models/{adapter}", "own=/lora"]


def command(**fields):
    plan = desired(app(**fields), Facts(claims={VOLUME: Claim(VOLUME, "uid")}), SETTINGS)
    (job,) = jobs(plan)
    return job["spec"]["template"]["spec"]


def test_an_object_of_a_store_with_its_own_key():
    spec = command(source="s3://models/llama", model={"source": "s3://models/llama", "s3": S3})
    given = spec["containers"][0]["command"]
    assert given[given.index("--source") + 1] == "s3://models/llama/", "an engine of repositories takes a folder"
    assert '"bucket":"models"' in given[given.index("--store") + 1]
    check = spec["initContainers"][0]["env"]
    assert {e["valueFrom"]["secretKeyRef"]["name"] for e in check} == {"s3"}


def test_a_store_that_is_given_nowhere_is_the_users_to_mend():
    with pytest.raises(Stalled, match=r"needs model\.s3, or spec\.objectStore\.s3"):
        command(source="s3://models/llama")


def test_a_download_runs_where_the_pods_can():
    placement = {"nodeSelector": {"disk": "fast"}}
    spec = command(gpu={"count": 1}, placement=placement)
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "nvidia.com/gpu" not in str(spec["containers"]), "it needs no GPU"
    affinity = spec["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]
    assert affinity["podAffinityTerm"]["labelSelector"]["matchLabels"]["aiapp.dev/name"] == "m"
    assert "affinity" not in command(cache={"size": "5Gi", "accessMode": "ReadWriteMany"})


def test_names_of_jobs_fit():
    long = make_app("a" * 20, inference=[BASE | {"name": "b" * 27, "model": {"source": "hf://org/name"}}])
    volume = f"{'a' * 20}-inference-{'b' * 27}-cache"
    plan = desired(long, Facts(claims={volume: Claim(volume, "uid")}), SETTINGS)
    (job,) = jobs(plan)
    assert len(job["metadata"]["name"]) <= 63


def test_pods_with_a_volume_reach_nobody():
    policy = next(
        m for m in desired(app(), Facts(), SETTINGS).apply if str(object_key(m)) == "NetworkPolicy/shop-inference-m"
    )
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy["spec"]
