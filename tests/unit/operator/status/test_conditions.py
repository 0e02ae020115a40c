"""Facts -> conditions: reason and message of each, Ready with the first cause, the rules of kstatus."""

from dataclasses import replace

import pytest

from aiapp_operator.api.facts import (
    BackendFault,
    BackendHealth,
    Cause,
    Facts,
    HealthStatus,
    Job,
    JobState,
    Severity,
    UnservedModel,
)
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.build.plan import desired
from aiapp_operator.errors import Retry, Stalled, Waiting
from aiapp_operator.status.conditions import evaluate, rejected, transitions
from tests.unit.operator.examples import LLAMA, SETTINGS, make_app, settled
from tests.unit.operator.status import conformance

T0, T1, T2 = "2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z", "2024-01-01T00:02:00Z"
API = ObjectKey("Deployment", "shop-api")
POSTGRES = ObjectKey("StatefulSet", "shop-postgres")
MODEL = ObjectKey("Deployment", "shop-inference-llama")
FULL = {"inference": [LLAMA], "workers": [{"name": "emb", "queues": ["embeddings"]}]}


def status_of(app, facts, *, failure=None, previous=None, now=T0):
    plan = desired(app, facts, SETTINGS) if not isinstance(failure, Stalled) else None
    status = evaluate(app, facts, plan, failure, previous=previous, now=now)
    conformance.check(status, previous, generation=app.generation, now=now)
    return status


def conditions(status):
    return {c["type"]: c for c in status["conditions"]}


def summary(status, type_):
    condition = conditions(status)[type_]
    return condition["status"], condition["reason"], condition["message"]


def changed(facts, key, **fields):
    return replace(facts, workloads={**facts.workloads, key: replace(facts.workloads[key], **fields)})


def healthy(app):
    _, facts = settled(app)
    return replace(facts, backends=BackendHealth(HealthStatus.HEALTHY))


def test_everything_is_well():
    app = make_app(**FULL)
    status = status_of(app, healthy(app))
    assert list(conditions(status)) == [
        "Ready",
        "SpecAccepted",
        "PostgresReady",
        "RedisReady",
        "Migrated",
        "InferenceReady",
        "APIReady",
        "BackendsHealthy",
        "WorkersReady",
    ]
    assert {c["status"] for c in status["conditions"]} == {"True"}
    assert summary(status, "Migrated") == ("True", "Migrated", "the schema is at revision 0002")
    assert summary(status, "InferenceReady") == ("True", "Ready", "llama: 1/1 pods")
    assert status["api"] == "2/2"
    assert status["workers"] == "1/1"
    assert status["inference"] == "1/1"
    assert status["replicas"] == 2
    assert status["selector"] == "aiapp.dev/app=shop,aiapp.dev/component=api"
    assert status["url"] == "http://shop-api.team.svc:8080/v1"
    assert status["database"] == {"secretName": "shop-postgres", "migrated": "0002"}
    assert [c["name"] for c in status["components"]] == ["postgres", "redis", "inference/llama", "api", "worker/emb"]


def test_a_new_app():
    status = status_of(make_app(), Facts())
    assert summary(status, "Ready") == (
        "False",
        "Waiting",
        "PostgresReady: postgres: 0/1 pods: waits for its volume to be created",
    )
    assert summary(status, "Reconciling")[0] == "True"
    assert "Stalled" not in conditions(status)
    assert "InferenceReady" not in conditions(status)
    assert "WorkersReady" not in conditions(status)


def test_ready_takes_the_first_cause_in_words_that_say_what_to_do():
    app = make_app(**FULL)
    cause = Cause(Severity.FAILED, "Unschedulable", "no node offers nvidia.com/gpu: 1 (2 nodes looked at)")
    status = status_of(app, changed(healthy(app), MODEL, ready=0, serving=0, cause=cause))
    assert summary(status, "Ready") == (
        "False",
        "Unschedulable",
        "InferenceReady: llama: 0/1 pods: no node offers nvidia.com/gpu: 1 (2 nodes looked at)",
    )
    component = next(c for c in status["components"] if c["name"] == "inference/llama")
    assert component == {
        "name": "inference/llama",
        "kind": "Deployment",
        "state": "Failed",
        "ready": 0,
        "desired": 1,
        "message": cause.message,
        "model": "image://models:1#/llama.gguf",
    }
    assert summary(status, "APIReady")[0] == "True"


def test_what_the_user_has_to_mend_is_stalled_even_behind_something_that_passes():
    app = make_app(**FULL)
    missing = Cause(Severity.STALLED, "SecretMissing", "Secret llm-keys does not exist: create it")
    loading = Cause(Severity.PROGRESSING, "LoadingModel", "loading the model")
    facts = changed(healthy(app), MODEL, ready=0, cause=loading)
    status = status_of(app, changed(facts, API, ready=0, serving=0, cause=missing))
    assert summary(status, "Ready") == ("False", "LoadingModel", "InferenceReady: llama: 0/1 pods: loading the model")
    assert summary(status, "Stalled") == (
        "True",
        "SecretMissing",
        "APIReady: api: 0/2 pods: Secret llm-keys does not exist: create it",
    )
    assert "Reconciling" not in conditions(status)


def test_failed_migration_leaves_the_old_revision_and_says_why():
    app = make_app()
    _, facts = settled(app)
    changed_app = make_app(image="service:2", generation=2)
    job = next(m for m in desired(changed_app, facts, SETTINGS).apply if m["kind"] == "Job")["metadata"]["name"]
    cause = Cause(Severity.STALLED, "MigrationFailed", "relation exists")
    facts = replace(facts, jobs={**facts.jobs, job: Job(job, JobState.FAILED, database="uid", cause=cause)})
    status = status_of(changed_app, facts)
    expected = (
        f"Job {job} failed: relation exists. The previous revision, if there is one, serves on. "
        "Correct the cause, then change the spec or delete the Job to try again"
    )
    assert summary(status, "Migrated") == ("False", "MigrationFailed", expected)
    assert summary(status, "Ready") == ("False", "MigrationFailed", f"Migrated: {expected}")
    assert summary(status, "Stalled")[1] == "MigrationFailed"
    assert summary(status, "APIReady") == (
        "False",
        "Waiting",
        "api: 2/2 pods: the previous revision serves on until the database is migrated",
    )


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (None, ("False", "Migrating", "the migration is being started")),
        (Job("", JobState.ACTIVE), ("False", "Migrating", "the migration runs")),
        (
            Job("", JobState.ACTIVE, cause=Cause(Severity.PROGRESSING, "Starting", "starting")),
            ("False", "Migrating", "the migration runs"),
        ),
        (
            Job("", JobState.ACTIVE, cause=Cause(Severity.STALLED, "SecretMissing", "Secret db does not exist")),
            ("False", "SecretMissing", "migrate: Secret db does not exist"),
        ),
        (Job("", JobState.COMPLETE), ("True", "Migrated", "the schema is current")),
    ],
)
def test_migration(job, expected):
    app = make_app()
    plan, facts = settled(app)
    name = next(m["metadata"]["name"] for m in plan.apply if m["kind"] == "Job")
    jobs = {} if job is None else {name: replace(job, name=name, database="uid")}
    assert summary(status_of(app, replace(facts, jobs=jobs)), "Migrated") == expected


def test_migration_waits_for_the_database():
    assert summary(status_of(make_app(), Facts()), "Migrated") == ("False", "Waiting", "waits for the database")


def test_migrations_that_are_off():
    app = make_app(migrations={"enabled": False})
    status, reason, _ = summary(status_of(app, healthy(app)), "Migrated")
    assert (status, reason) == ("True", "Disabled")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"revision": "older"}, ("Updating", "api: 0/2 pods: the change is being rolled out")),
        ({"desired": 5}, ("Updating", "api: 2/2 pods: the change is being rolled out")),
        ({"observed": False, "ready": 0}, ("Updating", "api: 0/2 pods: the change is being rolled out")),
        ({"ready": 1}, ("Starting", "api: 1/2 pods: starting")),
        ({"pods": 3}, ("Updating", "api: 2/2 pods: pods of the previous revision are being stopped")),
    ],
)
def test_an_app_is_not_ready_before_its_change_is_rolled_out(fields, expected):
    app = make_app()
    status = status_of(app, changed(healthy(app), API, **fields))
    assert summary(status, "APIReady") == ("False", *expected)
    assert summary(status, "Ready")[0] == "False"


def test_a_child_that_is_gone():
    app = make_app()
    facts = healthy(app)
    facts = replace(facts, workloads={k: w for k, w in facts.workloads.items() if k != POSTGRES})
    assert summary(status_of(app, facts), "PostgresReady") == ("False", "Creating", "postgres: 0/1 pods: being created")


def test_without_a_plan_the_components_are_judged_as_they_are():
    app = make_app()
    status = status_of(app, changed(healthy(app), API, ready=1), failure=Stalled("InvalidSpec", "spec.x: wrong"))
    assert summary(status, "PostgresReady") == ("True", "Ready", "postgres: 1/1 pods")
    assert summary(status, "APIReady") == ("False", "Starting", "api: 1/2 pods: starting")


def test_no_replicas_are_as_it_should_be():
    app = make_app(api={"replicas": 0})
    status = status_of(app, healthy(app))
    assert summary(status, "APIReady") == ("True", "Ready", "api: 0/0 pods")
    assert summary(status, "BackendsHealthy")[:2] == ("Unknown", "NoAPI")
    assert summary(status, "Ready")[0] == "True"


@pytest.mark.parametrize(
    ("health", "expected", "ready"),
    [
        (None, ("Unknown", "NotKnown", "the API has not been asked yet, or did not answer on /health"), "True"),
        (
            BackendHealth(HealthStatus.DEGRADED, ("llm", "redis")),
            ("False", "Degraded", "the API answers with restrictions, failing: llm, redis"),
            "True",
        ),
        (
            BackendHealth(HealthStatus.UNHEALTHY, ("llm",)),
            ("False", "Unhealthy", "the API cannot answer, failing: llm"),
            "False",
        ),
        (
            BackendHealth(HealthStatus.DEGRADED, ("llm",), (BackendFault("lab/big", "odd"),)),
            (
                "False",
                "Degraded",
                "the API answers with restrictions: backend lab/big does not serve: see /health of the API",
            ),
            "True",
        ),
        (
            BackendHealth(HealthStatus.DEGRADED, ("llm",), (), (UnservedModel("chat", ("lab/big",)),)),
            ("False", "ModelNotServed", "model chat: no backend serves it"),
            "False",
        ),
    ],
)
def test_what_only_the_service_knows(health, expected, ready):
    app = make_app()
    status = status_of(app, replace(healthy(app), backends=health))
    assert summary(status, "BackendsHealthy") == expected
    assert summary(status, "Ready")[0] == ready


EXTERNAL = {
    "postgres": {"external": {"urlSecretRef": {"name": "db", "key": "url"}}},
    "redis": {"external": {"urlSecretRef": {"name": "cache", "key": "url"}}},
}


def test_databases_of_somebody_else():
    app = make_app(**EXTERNAL)
    facts = healthy(app)
    status = status_of(app, facts)
    assert summary(status, "PostgresReady")[:2] == ("True", "External")
    assert status["database"]["secretName"] == "db"
    status = status_of(app, replace(facts, missing_secrets=frozenset({"db"})))
    assert summary(status, "Ready") == (
        "False",
        "SecretMissing",
        "PostgresReady: Secret db does not exist: create it with the connection URL as url",
    )
    assert summary(status, "Stalled")[1] == "SecretMissing"
    status = status_of(app, replace(facts, missing_keys=frozenset({("cache", "url")})))
    assert summary(status, "RedisReady") == (
        "False",
        "SecretKeyMissing",
        "Secret cache has no key url: add it with the connection URL",
    )


def test_a_failure_that_only_the_user_can_mend():
    app = make_app()
    failure = Stalled("NameConflict", "Deployment shop-api belongs to AIApp other")
    status = status_of(app, healthy(app), failure=failure)
    assert summary(status, "Ready") == ("False", "NameConflict", f"SpecAccepted: {failure.message}")
    assert summary(status, "Stalled")[:2] == ("True", "NameConflict")


@pytest.mark.parametrize("failure", [Retry("ApplyFailed", "500"), Waiting("Terminating", "wait", seconds=1)])
def test_a_fault_that_may_pass_does_not_touch_ready(failure):
    app = make_app()
    status = status_of(app, healthy(app), failure=failure)
    assert summary(status, "Ready")[0] == "True"
    assert summary(status, "Reconciling") == ("True", failure.reason, failure.message)


def test_times_move_with_the_status_only():
    app = make_app()
    facts = healthy(app)
    first = status_of(app, facts, now=T0)
    starting = changed(facts, API, ready=1)
    second = status_of(app, starting, previous=first, now=T1)
    worse = changed(facts, API, ready=0, cause=Cause(Severity.FAILED, "CrashLoopBackOff", "boom"))
    third = status_of(app, worse, previous=second, now=T2)
    assert conditions(second)["Ready"]["lastTransitionTime"] == T1
    assert conditions(third)["Ready"]["lastTransitionTime"] == T1
    assert conditions(third)["PostgresReady"]["lastTransitionTime"] == T0
    assert status_of(app, worse, previous=third, now="2025-01-01T00:00:00Z") == third


def test_suspended_keeps_the_last_values():
    app = make_app()
    before = status_of(app, healthy(app))
    suspended = make_app(generation=2, suspend=True)
    status = evaluate(suspended, Facts(), None, previous=before, now=T1)
    conformance.check(status, before, generation=2, now=T1)
    assert summary(status, "Ready")[0] == "True"
    assert conditions(status)["Ready"]["observedGeneration"] == 1
    assert summary(status, "Suspended")[:2] == ("True", "Suspended")
    assert status["components"] == before["components"]
    assert evaluate(suspended, Facts(), None, previous=status, now=T2) == status
    resumed = make_app(generation=3)
    after = status_of(resumed, healthy(resumed), previous=status, now=T2)
    assert "Suspended" not in conditions(after)
    assert [(t.type, t.reason) for t in transitions(status, after)] == [("Suspended", "Resumed")]


def test_suspended_from_the_start():
    app = make_app(suspend=True)
    status = evaluate(app, Facts(), None, previous=None, now=T0)
    conformance.check(status, None, generation=1, now=T0)
    assert summary(status, "Ready")[:2] == ("Unknown", "Suspended")


def test_suspended_while_stalled_stays_so_and_is_not_under_way():
    app = make_app()
    stalled = status_of(app, healthy(app), failure=Stalled("NameConflict", "taken"))
    status = evaluate(make_app(generation=2, suspend=True), Facts(), None, previous=stalled, now=T1)
    conformance.check(status, stalled, generation=2, now=T1)
    assert "Stalled" in conditions(status)
    busy = status_of(app, Facts())
    status = evaluate(make_app(generation=2, suspend=True), Facts(), None, previous=busy, now=T1)
    assert "Reconciling" not in conditions(status)


def test_a_spec_this_operator_cannot_read():
    app = make_app()
    before = status_of(app, healthy(app))
    status = rejected(2, "spec.frontend: unknown field", before, T1)
    conformance.check(status, before, generation=2, now=T1)
    assert summary(status, "Ready") == ("False", "InvalidSpec", "SpecAccepted: spec.frontend: unknown field")
    assert summary(status, "Stalled")[:2] == ("True", "InvalidSpec")
    assert summary(status, "PostgresReady")[0] == "True"
    assert rejected(2, "spec.frontend: unknown field", status, T2) == status
    assert summary(rejected(1, "x", None, T0), "SpecAccepted")[0] == "False"
