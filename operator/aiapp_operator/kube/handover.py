"""Giving a field up without changing it.

Server-side apply removes a field whose only owner stops naming it: a Deployment whose `replicas` we stop setting
would fall to the default of one pod. So our claim on it goes first, and its value stays.
"""

from typing import Any

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import FIELD_MANAGER

_SCALED = frozenset({"Deployment", "StatefulSet"})
Managers = list[dict[str, Any]]


def leaves_replicas(intent: Manifest, observed: Manifest) -> bool:
    """Whether `intent` names no number of pods where there is one: an autoscaler decides it."""
    spec = observed.get("spec") or {}
    return intent["kind"] in _SCALED and "replicas" not in intent["spec"] and "replicas" in spec


def without_replicas(managers: Managers) -> Managers | None:
    """metadata.managedFields without our claim on spec.replicas; None where we claim nothing."""
    given_up = [_given_up(entry) if entry.get("manager") == FIELD_MANAGER else entry for entry in managers]
    return None if given_up == managers else given_up


def _given_up(entry: dict[str, Any]) -> dict[str, Any]:
    fields = entry.get("fieldsV1") or {}
    spec = fields.get("f:spec")
    if not isinstance(spec, dict) or "f:replicas" not in spec or entry.get("subresource"):
        return entry
    kept = {name: value for name, value in spec.items() if name != "f:replicas"}
    return {**entry, "fieldsV1": {**fields, "f:spec": kept}}
