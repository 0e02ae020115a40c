"""What is said while an AIApp falls asleep, sleeps and wakes."""

from dataclasses import replace

from aiapp_operator.api.facts import Cause, Claim, Severity, Workload
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.status.conditions import evaluate, transitions
from tests.unit.operator.examples import SETTINGS, desired, make_app, settled
from tests.unit.operator.status.test_conditions import conditions, summary

API = ObjectKey("Deployment", "shop-api")
STAND_IN = ObjectKey("Deployment", "shop-sleeping")
T0, T1, T2, T3 = (f"2026-01-31T12:0{minute}:00Z" for minute in range(4))


def told(app, facts, previous=None, now=T1):
    return evaluate(app, facts, desired(app, facts, SETTINGS), previous=previous, now=now)


def asleep():
    app = make_app(state="Sleeping")
    return app, settled(app)[1]


def with_workload(facts, key, **changes):
    return replace(facts, workloads={**facts.workloads, key: replace(facts.workloads[key], **changes)})


def test_asleep_it_is_ready_and_each_part_says_that_it_sleeps():
    status = told(*asleep())
    assert summary(status, "Ready")[:2] == ("True", "Sleeping")
    assert not {"Reconciling", "Stalled"} & conditions(status).keys()
    for type_ in ("PostgresReady", "RedisReady", "APIReady"):
        assert summary(status, type_)[:2] == ("False", "Sleeping")
    assert summary(status, "BackendsHealthy")[:2] == ("Unknown", "Sleeping")
    states = {c["name"]: c["state"] for c in status["components"]}
    assert states == {"api": "Sleeping", "postgres": "Sleeping", "redis": "Sleeping", "sleeping": "Ready"}


def test_the_cause_is_what_is_being_stopped_and_not_what_waits_for_it():
    app, facts = asleep()
    facts = with_workload(facts, API, left=1)
    facts = with_workload(facts, ObjectKey("StatefulSet", "shop-postgres"), asleep=False, desired=1, left=1)
    status = told(app, facts)
    message = "APIReady: api: 0/0 pods: its pods finish what they work on"
    assert summary(status, "Ready") == ("False", "FallingAsleep", message)
    assert summary(status, "Reconciling")[:2] == ("True", "FallingAsleep")
    assert "Stalled" not in conditions(status)


def test_a_stand_in_that_cannot_start_is_the_cause():
    app, facts = asleep()
    cause = Cause(Severity.FAILED, "ImagePullFailed", "image service:9 is not there")
    facts = with_workload(facts, STAND_IN, ready=0, serving=0, cause=cause)
    status = told(app, replace(facts, fronts={"shop-api": "api"}))
    assert summary(status, "Ready")[:2] == ("False", "ImagePullFailed")
    assert "sleeping: 0/1 pods: image service:9 is not there" in summary(status, "Ready")[2]


def test_waking_is_timed_from_the_change_to_ready():
    sleeper, facts = asleep()
    sleeping = told(sleeper, facts, now=T0)
    app, awake = make_app(generation=2), settled(make_app())[1]
    waking = told(app, facts, sleeping, T1)
    assert waking["wakingSince"] == T1
    assert summary(waking, "Ready")[0] == "False"
    assert told(app, facts, waking, T2)["wakingSince"] == T1
    ready = told(app, awake, waking, T3)
    assert ready["lastWake"] == {"at": T3, "seconds": 120}
    assert "wakingSince" not in ready
    assert told(app, awake, ready, "2026-02-01T00:00:00Z") == ready
    assert told(sleeper, facts, ready, T3)["lastWake"] == ready["lastWake"]


def test_it_is_not_ready_while_the_stand_in_gets_the_requests():
    facts = settled(make_app())[1]
    stand_in = Workload(STAND_IN, "", 1, True, 1, 1, 1)
    facts = replace(
        facts, fronts={**facts.fronts, "shop-api": "sleeping"}, workloads={**facts.workloads, STAND_IN: stand_in}
    )
    assert summary(told(make_app(), facts), "Ready")[:2] == ("False", "Waking")


def test_nothing_of_it_is_a_warning():
    sleeper, facts = asleep()
    awake = told(make_app(), settled(make_app())[1], now=T0)
    sleeping = told(sleeper, facts, awake, T1)
    waking = told(make_app(generation=2), facts, sleeping, T2)
    events = [*transitions(awake, sleeping), *transitions(sleeping, waking)]
    assert events
    assert [event for event in events if not event.normal] == []


def test_the_schema_is_said_to_be_as_it_was():
    before = told(make_app(), settled(make_app())[1], now=T0)
    sleeper, facts = asleep()
    assert summary(told(sleeper, facts, before), "Migrated") == summary(before, "Migrated")
    assert summary(told(sleeper, facts), "Migrated")[:2] == ("Unknown", "Sleeping")


def test_backups_are_not_overdue_while_none_are_made_nor_right_after():
    store = {"objectStore": {"s3": {"bucket": "files", "credentialsSecretRef": {"name": "s3"}}}}
    spec = {**store, "postgres": {"managed": {}, "backup": {"schedule": "0 2 * * *"}}}
    claim = Claim("shop-postgres", "uid", secrets_made=True)
    late = "2026-02-20T12:00:00Z"

    def verdict(state, previous=None):
        app = make_app(**spec, state=state)
        facts = replace(settled(app)[1], schedules={"shop-backup": "2026-01-01T00:00:00Z"})
        assert claim.name in facts.claims
        return summary(told(app, facts, previous, late), "BackupVerified")[1]

    assert verdict("Running") == "BackupOverdue"
    assert verdict("Sleeping") == "NoBackupYet"
    assert verdict("Running", {"lastWake": {"at": "2026-02-20T11:00:00Z", "seconds": 30}}) == "NoBackupYet"
