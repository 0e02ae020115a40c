"""What the API server does to each object of a kind: defaults, and what cannot change in place."""

from collections.abc import Iterator
from typing import Any

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.quantity import parse

STATEFUL_SET_REFUSAL = (
    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
    "are forbidden"
)
_IMMUTABLE = "Invalid value: field is immutable"
PVC_PROTECTION = "kubernetes.io/pvc-protection"


def defaulted(manifest: Manifest) -> Manifest:
    """With some of the fields that the API server fills in; an operator must not mind them."""
    kind = manifest["kind"]
    if kind == "AIApp":
        return {"status": {"observedGeneration": -1}, **manifest}
    if kind == "Service":
        return {**manifest, "spec": {"clusterIP": "10.0.0.1", "sessionAffinity": "None", **manifest["spec"]}}
    if kind == "Deployment":
        defaults = {"replicas": 1, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10}
        return {**manifest, "spec": {**defaults, **manifest["spec"]}}
    if kind == "PersistentVolumeClaim":
        return {**manifest, "spec": {"volumeMode": "Filesystem", **manifest["spec"]}}
    return manifest


def refused(before: Manifest, after: Manifest) -> Iterator[tuple[str, str]]:
    """Fields that cannot change like this, each with the API server's words."""
    kind, old, new = before["kind"], before.get("spec") or {}, after.get("spec") or {}
    if kind == "Deployment" and old["selector"] != new["selector"]:
        yield "spec.selector", _IMMUTABLE
    if kind == "StatefulSet" and any(old[k] != new[k] for k in ("selector", "serviceName", "podManagementPolicy")):
        yield "spec", STATEFUL_SET_REFUSAL
    if kind == "Job" and any(old.get(k) != new.get(k) for k in ("template", "completions", "selector")):
        yield "spec.template", _IMMUTABLE
    if kind == "PersistentVolumeClaim" and _storage(new) < _storage(old):
        words = "Forbidden: field can not be less than status.capacity"
        yield "spec.resources.requests.storage", words


def finalizers(kind: str) -> list[str]:
    """The finalizers that admission puts on a new object."""
    return [PVC_PROTECTION] if kind == "PersistentVolumeClaim" else []


def _storage(spec: Manifest) -> Any:
    return parse(spec["resources"]["requests"]["storage"])
