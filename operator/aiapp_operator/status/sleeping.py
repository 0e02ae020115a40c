"""What is said of an AIApp that falls asleep, sleeps or wakes, and how long waking took."""

from dataclasses import replace
from datetime import UTC, datetime

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.facts import Cause, Cluster, Facts, Severity, Workload
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.sleep import SleepingDatabases, State
from aiapp_operator.api.status import ComponentState
from aiapp_operator.status.fields import items, mapping, text
from aiapp_operator.status.workloads import Report

SLEEPING = "Sleeping"
_FALLING = "FallingAsleep"
_TURN = Cause(Severity.PROGRESSING, "Waiting", "waits for its turn to sleep")
_WORKLOADS = frozenset({ComponentName.API, ComponentName.WORKER, ComponentName.INFERENCE})
_DATABASES = frozenset({ComponentName.POSTGRES, ComponentName.REDIS, ComponentName.REDIS_CACHE})
READY_WORDS = (
    "everything sleeps and data is kept; requests get 503 with Retry-After; set spec.state to Running to wake it"
)


def sleeps(app: AIApp) -> bool:
    """Whether the AIApp is to sleep."""
    return app.spec.state is State.SLEEPING


def rests(app: AIApp, component: ComponentName) -> bool:
    """Whether `component` is to be without pods."""
    stops = app.spec.sleep.databases is SleepingDatabases.STOP
    return sleeps(app) and (component in _WORKLOADS or (stops and component in _DATABASES))


def report(label: str, kind: str, found: Workload | Cluster | None) -> Report:
    """How far a workload is on its way to no pods."""
    cause, left = None, 0
    if found is None:
        cause = _TURN
    elif isinstance(found, Cluster):
        left = found.ready
        if not found.hibernated:
            cause = _turn(asleep=found.asleep, words="CloudNativePG stops its instances")
    else:
        left = found.left
        if found.left or found.desired or not found.observed or not found.asleep:
            cause = _turn(asleep=found.asleep, words="its pods finish what they work on")
    return Report(label, kind, 0, 0, left, cause, asleep=cause is None)


def _turn(*, asleep: bool, words: str) -> Cause:
    return Cause(Severity.PROGRESSING, _FALLING, words) if asleep else _TURN


def stand_in(app: AIApp, facts: Facts, found: Report) -> list[Report]:
    """The stand-in, where it answers or is to: it has to be there to sleep, and gone to be awake."""
    front = facts.fronts.get(names.part(app.name, ComponentName.API)) == ComponentName.SLEEPING
    if sleeps(app):
        waits = Cause(Severity.PROGRESSING, _FALLING, "requests still go to the API")
        return [found if front or found.cause is not None else replace(found, cause=waits)]
    if not front:
        return []
    return [replace(found, cause=Cause(Severity.PROGRESSING, "Waking", "it answers until the API can"))]


def kept(previous: Manifest | None, type_: ConditionType) -> Manifest:
    """A condition as it was; empty where it was not there."""
    return next((c for c in items(previous, "conditions") if c.get("type") == type_), {})


def fields(app: AIApp, previous: Manifest | None, now: str, *, ready: bool) -> Manifest:
    """wakingSince and lastWake. Waking begins when what slept is to run again, and ends when it is Ready."""
    last = mapping(previous, "lastWake")
    status: Manifest = {"lastWake": last} if last else {}
    since = text(previous, "wakingSince") or (now if _slept(previous) else "")
    if sleeps(app) or not since:
        return status
    if not ready:
        return {**status, "wakingSince": since}
    return {"lastWake": {"at": now, "seconds": max(0, int((_moment(now) - _moment(since)).total_seconds()))}}


def awake_since(previous: Manifest | None) -> str:
    """When it last woke, or began to: schedules did not run before; empty where it never slept."""
    return text(previous, "wakingSince") or text(previous, "lastWake", "at")


def _slept(previous: Manifest | None) -> bool:
    return any(component.get("state") == ComponentState.SLEEPING for component in items(previous, "components"))


def _moment(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)
