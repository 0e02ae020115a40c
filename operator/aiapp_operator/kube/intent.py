"""Intents: the hash of what we want, and whether an observed object already is that.

An apply is skipped when the observed object carries the hash of the intent and covers it: every
field that the intent sets has that value; other fields are other people's. No memory is needed
for this, so a restarted operator writes nothing either.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ANNOTATION_INTENT

# How entries of a list are told apart, by the name of the list. Lists that are not here are
# compared as a whole. In these lists an entry that the intent does not have is somebody's mistake:
# a second Service port, an environment variable that was renamed by hand.
_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("port", "containerPort", "protocol"),
    "ownerReferences": ("uid",),
}
# Lists to which others may add: owners of an object are not ours alone.
_SHARED = frozenset({"ownerReferences"})


def stamp(manifest: Manifest, owner: Manifest | None) -> Manifest:
    """`manifest` as it is applied: owned by `owner` unless it names its owners itself, with its hash."""
    meta = dict(manifest["metadata"])
    if "ownerReferences" not in meta and owner is not None:
        meta["ownerReferences"] = [owner]
    intent = {**manifest, "metadata": meta}
    canonical = json.dumps(intent, sort_keys=True, separators=(",", ":")).encode()
    meta["annotations"] = {**meta.get("annotations", {}), ANNOTATION_INTENT: hashlib.sha256(canonical).hexdigest()[:32]}
    return intent


class Difference(NamedTuple):
    """A field that is not what the intent says, with what is there instead."""

    path: str
    found: Any
    foreign: bool = False  # an entry of somebody else's in a list that is wholly ours


def intent_of(manifest: Manifest) -> str:
    """The hash of the intent that was last applied to the object, or that is about to be; empty where there is none."""
    return str((manifest["metadata"].get("annotations") or {}).get(ANNOTATION_INTENT, ""))


def differences(observed: Any, intent: Any, path: str = "") -> Iterator[Difference]:
    """All fields at which the observed object is not what the intent says."""
    if isinstance(intent, dict):
        yield from _differences_of_object(observed, intent, path)
    elif isinstance(intent, list):
        yield from _differences_of_list(observed, intent, path)
    elif observed != intent:
        yield Difference(path, observed)


def _differences_of_object(observed: Any, intent: Manifest, path: str) -> Iterator[Difference]:
    if not isinstance(observed, dict):
        # The API server drops empty objects.
        if intent or observed is not None:
            yield Difference(path, observed)
        return
    for key, value in intent.items():
        yield from differences(observed.get(key), value, f"{path}.{key}" if path else key)


def _differences_of_list(observed: Any, intent: list[Any], path: str) -> Iterator[Difference]:
    entries = observed if isinstance(observed, list) else []
    name = path.rpartition(".")[2]
    keys = _MERGE_KEYS.get(name)
    if not keys or not all(isinstance(entry, dict) for entry in [*entries, *intent]):
        yield from _differences_by_position(entries, intent, path)
        return
    found = {_identity(entry, keys): entry for entry in entries}
    wanted = {_identity(entry, keys): entry for entry in intent}
    for identity, entry in wanted.items():
        yield from differences(found.get(identity), entry, f"{path}[{_label(identity)}]")
    if name not in _SHARED or not intent:
        for identity, entry in found.items():
            if identity not in wanted:
                yield Difference(f"{path}[{_label(identity)}]", entry, foreign=True)
    if len(found) != len(entries):
        yield Difference(path, entries, foreign=True)


def _differences_by_position(entries: list[Any], intent: list[Any], path: str) -> Iterator[Difference]:
    if len(entries) != len(intent):
        yield Difference(path, entries)
        return
    for index, (left, right) in enumerate(zip(entries, intent, strict=True)):
        yield from differences(left, right, f"{path}[{index}]")


def _identity(entry: Manifest, keys: tuple[str, ...]) -> tuple[Any, ...]:
    # A port's protocol is TCP when it is not given.
    return tuple(entry.get(key, "TCP" if key == "protocol" else None) for key in keys)


def _label(identity: tuple[Any, ...]) -> str:
    return ",".join(str(part) for part in identity if part is not None)


def covers(observed: Manifest, intent: Manifest) -> bool:
    """Whether the observed object is what the intent says."""
    return next(differences(observed, intent), None) is None


def has_foreign(observed: Manifest, intent: Manifest) -> bool:
    """Whether a list that is wholly ours has an entry of somebody else's, which an apply would leave in place."""
    return any(difference.foreign for difference in differences(observed, intent))


def overlay(observed: Any, intent: Any, name: str = "") -> Any:
    """The observed object with everything the intent sets, and without foreign entries: for a replace."""
    if isinstance(intent, dict) and isinstance(observed, dict):
        merged = dict(observed)
        for key, value in intent.items():
            merged[key] = overlay(observed.get(key), value, key)
        return merged
    keys = _MERGE_KEYS.get(name)
    if isinstance(intent, list) and isinstance(observed, list) and keys:
        found = {_identity(entry, keys): entry for entry in observed if isinstance(entry, dict)}
        ours = [overlay(found.pop(_identity(entry, keys), {}), entry) for entry in intent]
        return [*ours, *found.values()] if name in _SHARED and intent else ours
    return intent
