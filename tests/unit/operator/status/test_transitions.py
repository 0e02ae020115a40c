"""Status -> Events: one on each transition, none otherwise."""

from aiapp_operator.api.facts import Cause, Facts, Severity
from aiapp_operator.errors import Stalled
from aiapp_operator.status.conditions import transitions
from tests.unit.operator.examples import make_app
from tests.unit.operator.status.test_conditions import API, FULL, changed, healthy, status_of


def test_events_go_out_on_transitions_and_on_nothing_else():
    app = make_app(**FULL)
    facts = healthy(app)
    new = status_of(app, Facts())
    assert transitions(None, new) == []
    well = status_of(app, facts, previous=new)
    moved = transitions(new, well)
    assert {t.type for t in moved} == {
        "Ready",
        "PostgresReady",
        "RedisReady",
        "Migrated",
        "InferenceReady",
        "APIReady",
        "BackendsHealthy",
        "WorkersReady",
    }
    assert all(t.normal for t in moved)
    assert transitions(well, well) == []
    crash = Cause(Severity.FAILED, "CrashLoopBackOff", "boom")
    broken = status_of(app, changed(facts, API, ready=0, cause=crash), previous=well)
    assert [(t.type, t.reason, t.normal) for t in transitions(well, broken)] == [
        ("Ready", "CrashLoopBackOff", False),
        ("APIReady", "CrashLoopBackOff", False),
    ]


def test_a_graver_reason_is_news_and_progress_is_not():
    app = make_app()
    facts = healthy(app)
    starting = status_of(app, changed(facts, API, ready=0))
    crash = Cause(Severity.FAILED, "CrashLoopBackOff", "boom")
    broken = status_of(app, changed(facts, API, ready=0, cause=crash), previous=starting)
    assert [(t.type, t.reason) for t in transitions(starting, broken)] == [("Ready", "CrashLoopBackOff")]
    not_ready = Cause(Severity.PROGRESSING, "NotReady", "probe")
    waiting = status_of(app, changed(facts, API, ready=0, cause=not_ready), previous=starting)
    assert transitions(starting, waiting) == []


def test_stalled_is_an_event_and_a_warning():
    app = make_app()
    well = status_of(app, healthy(app))
    stalled = status_of(app, healthy(app), failure=Stalled("NameConflict", "taken"), previous=well)
    events = {t.type: t for t in transitions(well, stalled)}
    assert events["Stalled"].normal is False
    assert events["SpecAccepted"].normal is False
