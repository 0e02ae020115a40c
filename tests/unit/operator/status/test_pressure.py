"""A database that is short of disk or connections: what is said, when it begins and ends, and what it does to Ready."""

from dataclasses import replace

import pytest

from aiapp_operator.api.database_load import DatabaseLoad
from aiapp_operator.api.facts import BackendHealth, Cause, Claim, Facts, HealthStatus, Severity
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.runtime.prober import told_by
from aiapp_operator.status import pressure
from aiapp_operator.status.conditions import evaluate, transitions
from tests.unit.operator.examples import make_app, settled

GIB = 1024**3
MANAGED = make_app(postgres={"managed": {"storage": {"size": "10Gi"}}})
EXTERNAL = make_app(postgres={"external": {"urlSecretRef": {"name": "db", "key": "url"}}})
CNPG = make_app(postgres={"cloudNativePG": {"storage": {"size": "10Gi"}}})
CLAIM = Claim("shop-postgres", "uid", requested="10Gi", capacity="10Gi", bound=True, secrets_made=True)
GROW = "raise postgres.managed.storage.size"
CLOSE = "close those of other clients, or raise postgres.managed.resources.limits.memory, which max_connections goes by"


def check(**fields):
    return {"checks": {"database": {"status": "ok", "latency": 1.0, **fields}}, "status": "healthy"}


def connections(used, most=100, reserved=3):
    return check(connections={"used": used, "max": most, "reserved": reserved})


def disk(percent, size=int(9.7 * GIB)):
    return check(disk={"percent": percent, "size": size})


TAKEN = {"status": "degraded", "checks": {"database": {"status": "error", "refused": True, "message": "all in use"}}}


def after(app, document, previous=None):
    """The status once the API has said `document`, a healthy cluster otherwise; None: it could not be asked."""
    plan, facts = settled(app)
    health = BackendHealth.from_document(document) if isinstance(document, dict) else document
    facts = replace(facts, backends=health, claims={**facts.claims, "shop-postgres": CLAIM})
    return evaluate(app, facts, plan, previous=previous, now="2026-01-01T00:00:00Z")


def postgres(status):
    return next(c for c in status["conditions"] if c["type"] == "PostgresReady")


@pytest.mark.parametrize(
    ("document", "status", "reason", "words"),
    [
        (disk(84), "True", "Ready", ""),
        (disk(93), "True", "DiskNearlyFull", f"; disk 93 % full of 10Gi: {GROW}"),
        (disk(99), "False", "DiskFull", f"; disk 99 % full of 10Gi: {GROW}"),
        (disk(90, 5 * GIB), "True", "DiskNearlyFull", f"; disk 90 % full of 10Gi: {GROW}"),
        (
            disk(93, 100 * GIB),
            "True",
            "DiskNearlyFull",
            "; disk 93 % full of 100Gi: the volume has no disk of its own, so make room on the one it is on",
        ),
        (connections(87), "True", "Ready", ""),
        (
            connections(90),
            "True",
            "ConnectionsNearlyExhausted",
            f"; 90 of 100 connections in use, 3 are for superusers: {CLOSE}",
        ),
        (
            connections(97),
            "False",
            "ConnectionsExhausted",
            f"; 97 of 100 connections in use, 3 are for superusers: {CLOSE}",
        ),
        (TAKEN, "False", "ConnectionsExhausted", f"; all connections in use: {CLOSE}"),
        (
            check(disk={"percent": 93, "size": 10 * GIB}, connections={"used": 50, "max": 50, "reserved": 0}),
            "False",
            "ConnectionsExhausted",
            f"; 50 of 50 connections in use: {CLOSE}; disk 93 % full of 10Gi: {GROW}",
        ),
        (check(disk="full", connections=[1]), "True", "Ready", ""),
        (check(disk={"percent": "93", "size": -1}, connections={"used": True, "max": 1}), "True", "Ready", ""),
    ],
)
def test_what_is_said(document, status, reason, words):
    found = postgres(after(MANAGED, document))
    assert (found["status"], found["reason"]) == (status, reason)
    assert found["message"].endswith(words) if words else ";" not in found["message"]


@pytest.mark.parametrize("document", [disk(93), disk(100), connections(95), connections(97), TAKEN])
def test_the_app_is_ready_all_the_same(document):
    conditions = {c["type"]: c["status"] for c in after(MANAGED, document)["conditions"]}
    assert conditions["Ready"] == "True"
    assert not conditions.keys() & {"Reconciling", "Stalled"}


def test_an_external_database_has_remedies_of_its_own_and_a_disk_that_nobody_knows():
    found = postgres(after(EXTERNAL, {**connections(97)}))
    assert found["reason"] == "ConnectionsExhausted"
    assert found["message"].endswith("lower postgres.external.poolMax, or raise max_connections of the server")
    assert postgres(after(EXTERNAL, disk(97)))["reason"] == "External"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (8 * GIB, None),
        (int(9.2 * GIB), "disk about 91 % full of 10Gi: raise postgres.cloudNativePG.storage.size"),
        (11 * GIB, "disk about 100 % full of 10Gi: raise postgres.cloudNativePG.storage.size"),
    ],
)
def test_the_disk_of_a_cluster_is_an_estimate_which_refuses_nothing(size, words):
    facts = Facts(backends=BackendHealth.from_document(check(size=size)))
    assert pressure.told(facts, CNPG, None) == (None if words is None else ("DiskNearlyFull", words))


def test_it_is_over_only_when_it_is_clearly_over():
    at_90 = after(MANAGED, disk(86))
    for percent, reason in ((82, "DiskNearlyFull"), (80, "DiskNearlyFull"), (79, "Ready"), (84, "Ready")):
        at_90 = after(MANAGED, disk(percent), at_90)
        assert postgres(at_90)["reason"] == reason, percent
    used = after(MANAGED, connections(97))
    for count, reason in (
        (90, "ConnectionsExhausted"),
        (85, "ConnectionsNearlyExhausted"),
        (78, "ConnectionsNearlyExhausted"),
        (75, "Ready"),
    ):
        used = after(MANAGED, connections(count), used)
        assert postgres(used)["reason"] == reason, count


def test_numbers_that_come_and_go_write_nothing():
    first = after(MANAGED, connections(91))
    assert after(MANAGED, connections(94), first) == first
    assert postgres(after(MANAGED, connections(91, most=101), first)) != postgres(first)
    first = after(MANAGED, disk(90))
    assert after(MANAGED, disk(91), first) == first
    assert "disk 92 %" in postgres(after(MANAGED, disk(92), first))["message"]


@pytest.mark.parametrize("document", [disk(93), connections(97), TAKEN])
def test_it_holds_while_the_api_cannot_be_asked_and_over_a_restart(document):
    first = after(MANAGED, document)
    assert postgres(after(MANAGED, None, first)) == postgres(first)
    assert postgres(after(MANAGED, told_by(first), first)) == postgres(first)
    assert postgres(after(MANAGED, connections(5), first))["reason"] == "Ready"


def test_each_change_of_the_reason_is_an_event_and_a_warning_until_it_is_over():
    well, short, full = after(MANAGED, disk(20)), after(MANAGED, disk(93)), after(MANAGED, disk(100))
    assert [(t.type, t.reason, t.normal) for t in transitions(well, short)] == [
        ("PostgresReady", "DiskNearlyFull", False)
    ]
    assert [(t.reason, t.normal) for t in transitions(short, full)] == [("DiskFull", False)]
    assert [(t.reason, t.normal) for t in transitions(short, well)] == [("Ready", True)]
    assert transitions(short, short) == []


def test_a_database_that_cannot_start_for_its_disk_waits_for_its_user():
    plan, facts = settled(MANAGED)
    key = ObjectKey("StatefulSet", "shop-postgres")
    line = "aiapp: No space left on device: the volume of the database is full"
    cause = Cause(Severity.FAILED, "CrashLoopBackOff", f"container postgres ends with exit code 1: {line}")
    broken = replace(facts.workloads[key], ready=0, serving=0, cause=cause)
    facts = replace(facts, workloads={**facts.workloads, key: broken})
    status = evaluate(MANAGED, facts, plan, previous=None, now="2026-01-01T00:00:00Z")
    found = postgres(status)
    assert (found["status"], found["reason"]) == ("False", "DiskFull")
    assert found["message"].endswith(f"the volume of the database is full; {GROW}")
    assert any(c["type"] == "Stalled" for c in status["conditions"])
    # It starts again, and nobody has said anything yet.
    assert postgres(after(MANAGED, None, status))["reason"] == "Ready"


def test_what_nobody_has_to_be_told_of_is_no_fact():
    one, other = (BackendHealth.from_document(document) for document in (connections(20), connections(60)))
    assert one == other == BackendHealth(HealthStatus.HEALTHY)
    assert DatabaseLoad.from_check({"size": 100 * 2**20}) == DatabaseLoad.from_check({"size": 110 * 2**20})
