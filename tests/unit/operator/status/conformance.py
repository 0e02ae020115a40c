"""What holds for every status, whatever the AIApp: the rules of kstatus and of the Kubernetes API conventions."""

import re
from typing import Any

from aiapp_operator.api.conditions import CAUSES, ONLY_WHILE_TRUE
from aiapp_operator.api.status import AIAppStatus

_REASON = re.compile(r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
_UNSTABLE = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|\d{4}-\d\d-\d\dT")
_SECRET = re.compile(r"sk-[A-Za-z0-9]{8,}|://[^/\s\[]+:[^/\s\[]+@|Bearer [A-Za-z0-9]")


def check(status: dict[str, Any], previous: dict[str, Any] | None, *, generation: int, now: str) -> None:
    """Raise AssertionError where `status`, the successor of `previous`, breaks a rule."""
    AIAppStatus.model_validate(status)  # what the API server would refuse
    conditions = {c["type"]: c for c in status["conditions"]}
    assert len(conditions) == len(status["conditions"]), "a type occurs twice"
    assert status["observedGeneration"] == generation
    assert "Ready" in conditions
    _check_abnormal(conditions)
    before = {c["type"]: c for c in (previous or {}).get("conditions", [])}
    for type_, condition in conditions.items():
        assert set(condition) == {"type", "status", "reason", "message", "observedGeneration", "lastTransitionTime"}
        assert _REASON.match(condition["reason"]), condition
        assert condition["message"], condition
        assert not _UNSTABLE.search(condition["message"]), condition
        assert not _SECRET.search(condition["message"]), condition
        _check_times(condition, before.get(type_), now)
        assert condition["observedGeneration"] <= generation
        # What could not be judged anew keeps the generation it was judged for.
        anew = "Suspended" not in conditions and conditions["SpecAccepted"]["status"] == "True"
        assert condition["observedGeneration"] == generation or not anew, condition
    if "Suspended" not in conditions:
        _check_ready(status, conditions)


def _check_abnormal(conditions: dict[str, Any]) -> None:
    for type_ in ONLY_WHILE_TRUE:
        assert conditions.get(type_, {"status": "True"})["status"] == "True", f"{type_} is present only while true"
    assert not ("Stalled" in conditions and "Reconciling" in conditions), "kstatus reads one or the other"


def _check_times(condition: dict[str, Any], before: dict[str, Any] | None, now: str) -> None:
    moved = before is None or before["status"] != condition["status"]
    expected = now if moved else before["lastTransitionTime"]
    assert condition["lastTransitionTime"] == expected, f"the time moves with the status and only then: {condition}"


def _check_ready(status: dict[str, Any], conditions: dict[str, Any]) -> None:
    ready = conditions["Ready"]
    if ready["status"] == "True":
        assert "Stalled" not in conditions
        assert all(component["state"] == "Ready" for component in status["components"])
        return
    assert "Stalled" in conditions or "Reconciling" in conditions, "not Ready, and neither under way nor given up"
    type_, _, message = ready["message"].partition(": ")
    cause = conditions[type_]
    assert (cause["status"], cause["reason"], cause["message"]) == ("False", ready["reason"], message)
    order = [t.value for t in CAUSES]
    earlier = order[: order.index(type_)]
    assert all(conditions[t]["status"] != "False" for t in earlier if t in conditions and t != "BackendsHealthy"), (
        "Ready takes the first cause"
    )
