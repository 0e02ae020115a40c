"""Facts -> the complete status of an AIApp, by the rules of kstatus.

Ready is there always and takes reason and message of the first cause. Reconciling and Stalled are
there only while true: what the user has to mend is Stalled, everything else that is not ready yet is
Reconciling, and an AIApp that is Ready and has no reconcile to retry is neither.
"""

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.conditions import ONLY_WHILE_TRUE, ConditionType, Transition
from aiapp_operator.api.facts import Facts, Severity
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.plan import Plan
from aiapp_operator.api.status import ConditionStatus
from aiapp_operator.errors import ReconcileError
from aiapp_operator.status import backups, pressure, sleeping, summary
from aiapp_operator.status.checks import reports, verdicts
from aiapp_operator.status.fields import items, text
from aiapp_operator.status.known import FALSE, TRUE, UNKNOWN, Known, Verdict

_MAX_MESSAGE = 4096


def evaluate(
    app: AIApp,
    facts: Facts,
    plan: Plan | None,
    failure: ReconcileError | None = None,
    *,
    previous: Manifest | None,
    now: str,
) -> Manifest:
    """The complete new status of `app`. `plan` is None when `desired` raised, `failure` is what went wrong.

    `now` (RFC 3339) becomes the lastTransitionTime of conditions whose status moved, of no other.
    """
    if app.spec.suspend:
        return _suspended(app, previous, now)
    known = Known.of(app, facts, plan, failure, previous=previous, now=now)
    found = backups.with_backups(known, verdicts(known))
    # What waits for its turn to sleep is not why it takes so long.
    overall = _overall(sorted(found, key=lambda v: sleeping.sleeps(app) and v.reason == "Waiting"), failure)
    if sleeping.sleeps(app) and overall[0].status is TRUE:
        overall[0] = Verdict(ConditionType.READY, TRUE, sleeping.SLEEPING, sleeping.READY_WORDS)
    conditions = [*overall, *found]
    status = summary.fields(known, reports(known))
    status |= sleeping.fields(app, previous, now, ready=overall[0].status is TRUE)
    status["conditions"] = _stamped(conditions, app.generation, previous, now)
    return status


def rejected(generation: int, message: str, previous: Manifest | None, now: str) -> Manifest:
    """The status of an AIApp whose spec this operator cannot read: SpecAccepted=False, Stalled.

    What was said of the components is kept, since nothing is changed about them.
    """
    refusal = Verdict(ConditionType.SPEC_ACCEPTED, FALSE, "InvalidSpec", message, Severity.STALLED)
    ours = _stamped([*_overall([refusal], None), refusal], generation, previous, now)
    kept = _kept(previous, ours)
    return {**(previous or {}), "observedGeneration": generation, "conditions": [*ours, *kept]}


def transitions(previous: Manifest | None, new: Manifest) -> list[Transition]:
    """The conditions that moved between two statuses, each worth one Event.

    A condition that appears without being true is no news: everything starts that way. Ready also
    counts when it stays False for another reason that does not pass by itself.
    """
    before = {condition["type"]: condition for condition in items(previous, "conditions")}
    moved = [c for c in new["conditions"] if _moved(before.get(c["type"]), c, new)]
    resumed = ConditionType.SUSPENDED in before and not any(
        c["type"] == ConditionType.SUSPENDED for c in new["conditions"]
    )
    events = [Transition(ConditionType.SUSPENDED, "Resumed", "spec.suspend is false", normal=True)] if resumed else []
    return [*events, *(_transition(condition) for condition in moved)]


def _overall(found: list[Verdict], failure: ReconcileError | None) -> list[Verdict]:
    """Ready, Reconciling and Stalled out of the verdicts."""
    causes = [verdict for verdict in found if verdict.severity is not None]
    stalled = next((verdict for verdict in causes if verdict.severity is Severity.STALLED), None)
    result = []
    if causes:
        first = causes[0]
        result.append(Verdict(ConditionType.READY, FALSE, first.reason, f"{first.type}: {first.message}"))
    else:
        result.append(Verdict(ConditionType.READY, TRUE, "Ready", "everything is as the spec says"))
    if stalled is not None:
        words = f"{stalled.type}: {stalled.message}"
        result.append(Verdict(ConditionType.STALLED, TRUE, stalled.reason, words))
    elif failure is not None:
        result.append(Verdict(ConditionType.RECONCILING, TRUE, failure.reason, failure.message))
    elif causes:
        first = causes[0]
        result.append(Verdict(ConditionType.RECONCILING, TRUE, first.reason, f"{first.type}: {first.message}"))
    return result


def _suspended(app: AIApp, previous: Manifest | None, now: str) -> Manifest:
    """Everything keeps its last value, with the generation it was computed for; only Suspended is new."""
    ours = [
        Verdict(
            ConditionType.SUSPENDED,
            TRUE,
            "Suspended",
            "spec.suspend is true: nothing is changed until it is false again",
        )
    ]
    if not any(condition.get("type") == ConditionType.READY for condition in items(previous, "conditions")):
        words = "spec.suspend was true from the start: nothing was made"
        ours.insert(0, Verdict(ConditionType.READY, UNKNOWN, "Suspended", words))
    stamped = _stamped(ours, app.generation, previous, now)
    kept = [c for c in _kept(previous, stamped) if c["type"] != ConditionType.RECONCILING]
    conditions = sorted([*stamped, *kept], key=lambda c: _ORDER.get(c["type"], len(_ORDER)))
    return {**(previous or {}), "observedGeneration": app.generation, "conditions": conditions}


_ORDER = {type_.value: index for index, type_ in enumerate(ConditionType)}


def _kept(previous: Manifest | None, ours: list[Manifest]) -> list[Manifest]:
    replaced = {condition["type"] for condition in ours} | {type_.value for type_ in ONLY_WHILE_TRUE}
    stalled = {ConditionType.STALLED.value}
    replaced -= stalled - {condition["type"] for condition in ours}
    return [dict(c) for c in items(previous, "conditions") if c.get("type") not in replaced]


def _stamped(found: list[Verdict], generation: int, previous: Manifest | None, now: str) -> list[Manifest]:
    before = {condition.get("type"): condition for condition in items(previous, "conditions")}
    result = []
    for verdict in found:
        last = before.get(verdict.type.value, {})
        same = last.get("status") == verdict.status.value
        result.append(
            {
                "type": verdict.type.value,
                "status": verdict.status.value,
                "reason": verdict.reason,
                "message": verdict.message[:_MAX_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": (text(last, "lastTransitionTime") or now) if same else now,
            }
        )
    return result


def _moved(before: Manifest | None, after: Manifest, status: Manifest) -> bool:
    type_ = after["type"]
    if type_ == ConditionType.RECONCILING:
        return False  # it says what Ready says
    if before is None:
        return bool(after["status"] == ConditionStatus.TRUE.value and type_ != ConditionType.SPEC_ACCEPTED)
    if before.get("status") != after["status"]:
        return True
    changed = before.get("reason") != after["reason"]
    if changed and not pressure.REASONS.isdisjoint({before.get("reason"), after["reason"]}):
        return bool(type_ == ConditionType.POSTGRES_READY)
    return changed and (type_ == ConditionType.STALLED or (type_ == ConditionType.READY and _failed(status)))


def _failed(status: Manifest) -> bool:
    return any(component.get("state") == "Failed" for component in items(status, "components"))


# What every start and every change goes through is no warning.
_PASSING = frozenset(
    {
        "Creating",
        "Starting",
        "Updating",
        "Waiting",
        "NotReady",
        "Migrating",
        "CopyingModel",
        "LoadingModel",
        "Restoring",
        "FallingAsleep",
        "Sleeping",
        "Waking",
    }
)


def _transition(condition: Manifest) -> Transition:
    good = ConditionStatus.FALSE if condition["type"] == ConditionType.STALLED else ConditionStatus.TRUE
    passing = condition["status"] == ConditionStatus.UNKNOWN.value or condition["reason"] in _PASSING
    return Transition(
        type=condition["type"],
        reason=condition["reason"],
        message=condition["message"],
        normal=(condition["status"] == good.value or passing) and condition["reason"] not in pressure.REASONS,
    )
