"""Pods as a kubelet reports them."""

from typing import Any

from aiapp_operator.api import names
from aiapp_operator.api.names import ComponentName

Pod = dict[str, Any]


def pod(
    component: str = "api",
    entry: str = "",
    *,
    revision: str = "r1",
    conditions: list[dict[str, str]] | None = None,
    phase: str = "Pending",
    init: list[dict[str, Any]] | None = None,
    containers: list[dict[str, Any]] | None = None,
    spec: dict[str, Any] | None = None,
    number: int = 0,
) -> Pod:
    labels = names.labels("shop", ComponentName(component), entry)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"shop-{component}-{number}",
            "labels": labels,
            "annotations": {names.ANNOTATION_REVISION: revision},
        },
        "spec": spec or {},
        "status": {
            "phase": phase,
            "conditions": conditions or [],
            "initContainerStatuses": init or [],
            "containerStatuses": containers or [],
        },
    }


def ready(component: str = "api", entry: str = "", **fields: Any) -> Pod:
    status = container(component, running=True, ready=True, started=True)
    fields.setdefault("containers", [status])
    return pod(component, entry, phase="Running", conditions=[{"type": "Ready", "status": "True"}], **fields)


def container(
    name: str = "api",
    *,
    image: str = "service:1",
    waiting: tuple[str, str] | None = None,
    terminated: dict[str, Any] | None = None,
    last: dict[str, Any] | None = None,
    running: bool = False,
    ready: bool = False,
    started: bool | None = None,
) -> dict[str, Any]:
    state: dict[str, Any] = {}
    if waiting is not None:
        state["waiting"] = {"reason": waiting[0], "message": waiting[1]}
    if terminated is not None:
        state["terminated"] = terminated
    if running:
        state["running"] = {"startedAt": "2024-01-01T00:00:00Z"}
    return {
        "name": name,
        "image": image,
        "state": state,
        "lastState": {"terminated": last} if last else {},
        "ready": ready,
        "started": started,
        "restartCount": 3 if last else 0,
    }


def unscheduled(message: str, **fields: Any) -> Pod:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(conditions=[condition], **fields)
