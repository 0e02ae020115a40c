"""Falling asleep and waking, as plans: what each stage waits for, and what it leaves alone."""

from dataclasses import replace

import pytest

from aiapp_operator.api.facts import Cause, Facts, Job, JobState, Severity, Workload
from aiapp_operator.api.manifest import ObjectKey, object_key
from aiapp_operator.build.plan import desired
from tests.unit.operator.examples import LLAMA, SETTINGS, find, keys, make_app, settled

WORKERS = [{"name": "emb", "queues": ["embeddings"]}]
API, WORKER, ENGINE = (
    ObjectKey("Deployment", name) for name in ("shop-api", "shop-worker-emb", "shop-inference-llama")
)
STAND_IN = ObjectKey("Deployment", "shop-sleeping")
POSTGRES = ObjectKey("StatefulSet", "shop-postgres")


def app(**spec):
    return make_app(workers=WORKERS, inference=[LLAMA], **spec)


def awake():
    return settled(app())[1]


def asleep(**spec):
    return settled(app(state="Sleeping", **spec))[1]


def with_workload(facts, key, **changes):
    return replace(facts, workloads={**facts.workloads, key: replace(facts.workloads[key], **changes)})


def with_stand_in(facts, *, front="sleeping"):
    stand_in = Workload(STAND_IN, "r", 1, True, 1, 1, 1, left=1)
    fronts = {**facts.fronts, "shop-api": front}
    return replace(
        facts, workloads={**facts.workloads, STAND_IN: stand_in}, fronts=fronts, keys=facts.keys | {STAND_IN}
    )


def stopped(facts, *chosen):
    for key in chosen:
        facts = with_workload(facts, key, desired=0, pods=0, left=0, ready=0, serving=0, asleep=True)
    return facts


def replicas(plan):
    """Workloads that are applied, with their number of pods."""
    found = [m for m in plan.apply if m["kind"] in {"Deployment", "StatefulSet"}]
    return {str(object_key(m)): m["spec"].get("replicas") for m in found}


def sleeping(facts, **spec):
    return desired(app(state="Sleeping", **spec), facts, SETTINGS)


def test_the_stand_in_comes_first_and_everything_serves_on():
    plan = sleeping(awake())
    assert replicas(plan) == {str(STAND_IN): 1}
    assert {API, WORKER, ENGINE, POSTGRES} <= plan.hold
    assert find(plan, "Service/shop-api")["spec"]["selector"]["aiapp.dev/component"] == "api"


def test_the_service_leads_to_the_stand_in_before_the_api_stops():
    plan = sleeping(with_stand_in(awake(), front="api"))
    assert find(plan, "Service/shop-api")["spec"]["selector"]["aiapp.dev/component"] == "sleeping"
    assert replicas(plan) == {str(STAND_IN): 1}
    plan = sleeping(with_stand_in(awake()))
    assert replicas(plan) == {str(STAND_IN): 1, str(API): 0, str(WORKER): 0}


@pytest.mark.parametrize("left", [{"left": 1}, {"pods": 1}, {"desired": 1}, {"observed": False}])
def test_inference_waits_until_the_last_pod_of_its_clients_is_gone(left):
    facts = stopped(with_stand_in(awake()), API, WORKER)
    assert replicas(sleeping(facts))[str(ENGINE)] == 0
    assert str(ENGINE) not in replicas(sleeping(with_workload(facts, WORKER, **left)))


def test_databases_are_last_and_wait_for_jobs_that_get_on():
    facts = stopped(with_stand_in(awake()), API, WORKER, ENGINE)
    assert replicas(sleeping(facts))[str(POSTGRES)] == 0
    name, job = next(iter(facts.jobs.items()))
    at_work = replace(facts, jobs={name: replace(job, state=JobState.ACTIVE)})
    plan = sleeping(at_work)
    assert str(POSTGRES) not in replicas(plan)
    assert ObjectKey("Job", name) in plan.hold
    stuck = Job(name, JobState.ACTIVE, cause=Cause(Severity.FAILED, "ImagePullFailed", "no"))
    plan = sleeping(replace(facts, jobs={name: stuck}))
    assert replicas(plan)[str(POSTGRES)] == 0
    assert ObjectKey("Job", name) not in plan.hold, "it would fail without its database; it is made again"


def test_databases_may_go_on():
    facts = stopped(with_stand_in(awake()), API, WORKER, ENGINE)
    assert replicas(sleeping(facts, sleep={"databases": "KeepRunning"}))[str(POSTGRES)] == 1


def test_autoscalers_go_when_their_workload_is_at_rest_and_not_before():
    spec = {"api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}}
    hpa = ObjectKey("HorizontalPodAutoscaler", "shop-api")
    facts = settled(app(**spec))[1]
    assert hpa in sleeping(facts, **spec).hold
    plan = sleeping(with_stand_in(facts), **spec)
    assert hpa not in plan.hold
    assert str(hpa) not in keys(plan)


def test_asleep_it_is_quiet_and_no_job_is_made():
    plan = sleeping(asleep())
    assert set(replicas(plan).values()) == {0, 1}
    assert [key for key, count in replicas(plan).items() if count] == [str(STAND_IN)]
    assert not [m for m in plan.apply if m["kind"] == "Job"]


def test_waking_begins_with_databases_and_inference():
    plan = desired(app(), asleep(), SETTINGS)
    found = replicas(plan)
    assert {key for key, count in found.items() if count} == {
        str(POSTGRES),
        "StatefulSet/shop-redis",
        str(ENGINE),
        str(STAND_IN),
    }
    assert {API, WORKER} <= plan.hold
    assert find(plan, "Service/shop-api")["spec"]["selector"]["aiapp.dev/component"] == "sleeping"


def serving(facts, *chosen):
    for key in chosen:
        facts = with_workload(facts, key, desired=1, pods=1, left=1, ready=1, serving=1, asleep=False)
    return facts


def test_the_api_comes_after_the_databases_and_workers_after_the_api():
    facts = serving(migrated(asleep()), POSTGRES, ObjectKey("StatefulSet", "shop-redis"))
    plan = desired(app(), facts, SETTINGS)
    assert replicas(plan)[str(API)] == 2
    assert WORKER in plan.hold
    plan = desired(app(), serving(facts, API), SETTINGS)
    assert replicas(plan)[str(WORKER)] == 1


def migrated(facts):
    return replace(facts, jobs=awake().jobs)


@pytest.mark.parametrize(
    ("engine", "front"),
    [
        ({"serving": 0}, "sleeping"),
        ({"serving": 1}, "api"),
        ({"serving": 0, "cause": Cause(Severity.FAILED, "Unschedulable", "no GPU")}, "api"),
    ],
)
def test_requests_go_to_the_api_when_its_models_are_there_or_will_not_come_soon(engine, front):
    facts = serving(migrated(asleep()), POSTGRES, ObjectKey("StatefulSet", "shop-redis"), API, ENGINE)
    plan = desired(app(), with_workload(facts, ENGINE, **engine), SETTINGS)
    assert find(plan, "Service/shop-api")["spec"]["selector"]["aiapp.dev/component"] == front
    assert (str(STAND_IN) in keys(plan)) == (front == "sleeping")


def test_an_app_that_never_slept_has_the_plan_that_it_always_had():
    plan = desired(app(), awake(), SETTINGS)
    assert not [gate for gate in plan.gates if gate.name == "Awake"]
    assert str(STAND_IN) not in keys(plan)
    assert Facts().fronts == {}


def test_what_waits_for_something_else_is_set_to_zero_all_the_same():
    facts = replace(with_stand_in(awake()), jobs={})
    assert replicas(sleeping(facts, image="service:2"))[str(API)] == 0, "the migration of this image is not done"
