"""A cluster as a value: two runs that come to the same end give the same snapshot."""

import json
from typing import Any

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ANNOTATION_INTENT
from tests.unit.operator.simulation.apiserver import ApiServer
from tests.unit.operator.simulation.controllers import place_of, secrets

# What differs between runs by its nature. The hash of the intent has the owner's uid in it.
_VOLATILE = frozenset({"uid", "resourceVersion", "generation", "managedFields"})
_APART = frozenset({"Event", "Lease", "Pod", "CustomResourceDefinition"})
_TIMES = frozenset({"lastTransitionTime", "observedGeneration", "lastWake"})


def snapshot(server: ApiServer) -> dict[str, Any]:
    """All objects but Pods and Events, by KIND/NAME; uids are replaced by what they name."""
    objects = server.storage.all()
    names = {m["metadata"]["uid"]: f"uid of {m['kind']} {m['metadata']['name']}" for m in objects}
    return {
        f"{place_of(m).kind}/{place_of(m).name}": _readable(_stable(m), names)
        for m in objects
        if m["kind"] not in _APART
    }


def remade_passwords(server: ApiServer) -> set[str]:
    """Secrets that were made again after a pod had started with them: what it made with them would not open again."""
    used: set[str] = set()
    found: set[str] = set()
    for change in server.storage.history:
        if change.before is not None or change.after is None:
            continue
        if change.place.kind == "Pod":
            used.update(secrets(change.after))
        elif change.place.kind == "Secret" and change.place.name in used:
            found.add(change.place.name)
    return found


def _stable(manifest: Manifest) -> Manifest:
    meta = {key: value for key, value in manifest["metadata"].items() if key not in _VOLATILE}
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k != ANNOTATION_INTENT}
    result = {**manifest, "metadata": {**meta, "annotations": annotations}}
    if manifest["kind"] == "Secret":
        result["stringData"] = sorted(manifest["stringData"])
    return _without_times(result)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(child) for key, child in value.items() if key not in _TIMES}
    return [_without_times(child) for child in value] if isinstance(value, list) else value


def _readable(value: Any, names: dict[str, str]) -> Any:
    text = json.dumps(value, sort_keys=True)
    for uid, name in names.items():
        text = text.replace(f'"{uid}"', json.dumps(name))
    return json.loads(text)
