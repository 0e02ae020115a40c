"""Who set which field: the merge of server-side apply, close to the API server's structured-merge-diff.

A field is a path: keys of objects, and for entries of lists that are maps the identity of the entry.
Lists that are not maps are one value. https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from collections.abc import Iterable
from typing import Any

from aiapp_operator.api.manifest import Manifest

Path = tuple[Any, ...]
Claims = dict[tuple[str, str], frozenset[Path]]  # by manager and operation

_MAP_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ownerReferences": ("uid",),
    "imagePullSecrets": ("name",),
    "conditions": ("type",),
}
_CONTAINER = object()
_ABSENT = object()
# Names and what the server fills in belong to nobody; status is behind a subresource.
_OWNED_METADATA = frozenset({"labels", "annotations", "ownerReferences", "finalizers"})


def identity(name: str, entry: Any) -> Path | None:
    """What tells the entry of a list apart, in a list called `name`; None where the list is one value."""
    if not isinstance(entry, dict):
        return None
    if name == "ports":
        return ("port", entry.get("containerPort", entry.get("port")), entry.get("protocol", "TCP"))
    keys = _MAP_KEYS.get(name)
    return None if keys is None else ("entry", *(entry.get(key) for key in keys))


def fields(manifest: Manifest) -> dict[Path, Any]:
    """Every field that can have an owner, with its value."""
    meta = {k: v for k, v in manifest["metadata"].items() if k in _OWNED_METADATA}
    rest = {k: v for k, v in manifest.items() if k not in {"apiVersion", "kind", "metadata", "status"}}
    return _flat({**rest, "metadata": meta}, ())


def _flat(value: Any, path: Path) -> dict[Path, Any]:
    # Who sets a field below an object or a list has set that too.
    found: dict[Path, Any] = {path: _CONTAINER}
    if isinstance(value, dict) and value:
        for key, child in value.items():
            found |= _flat(child, (*path, key))
    elif isinstance(value, list) and _is_map(path, value):
        for entry in value:
            found |= _flat(entry, (*path, identity(path[-1], entry)))
    else:
        found[path] = value
    return found


def _is_map(path: Path, value: list[Any]) -> bool:
    # Rules of a NetworkPolicy are one value, whatever is inside.
    rules = "ingress" in path or "egress" in path
    return bool(value) and not rules and all(identity(path[-1], entry) is not None for entry in value)


def changed(before: Manifest, after: Manifest) -> frozenset[Path]:
    """The fields that an update sets."""
    old = fields(before)
    return frozenset(path for path, value in fields(after).items() if old.get(path, _ABSENT) != value)


def applied(live: Manifest, intent: Manifest, claims: Claims, manager: str) -> tuple[Manifest, Claims]:
    """`live` after a forced apply of `intent`: what the manager no longer names goes, unless others have set it."""
    key = (manager, "Apply")
    wanted = frozenset(fields(intent))
    differing = wanted & changed(live, merged(live, intent))
    others = {k: paths - differing for k, paths in claims.items() if k != key}
    result = merged(live, intent)
    for path in sorted(claims.get(key, frozenset()) - wanted, key=len, reverse=True):
        if not any(theirs[: len(path)] == path for paths in others.values() for theirs in paths):
            result = without(result, path)
    return result, {**others, key: wanted}


def merged(live: Any, intent: Any, path: Path = ()) -> Any:
    """`live` with everything that `intent` sets."""
    if isinstance(live, dict) and isinstance(intent, dict):
        return {**live, **{key: merged(live.get(key), value, (*path, key)) for key, value in intent.items()}}
    if isinstance(intent, list) and _is_map(path, [*intent, *(live or [])]):
        entries = {identity(path[-1], entry): entry for entry in live or []}
        for entry in intent:
            key = identity(path[-1], entry)
            entries[key] = merged(entries.get(key), entry, (*path, key))
        return list(entries.values())
    return intent


def without(value: Any, path: Path, name: str = "") -> Any:
    """`value`, which is called `name`, without one field; unchanged where it is not there."""
    key, rest = path[0], path[1:]
    if isinstance(value, dict) and key in value:
        kept = {k: v for k, v in value.items() if k != key}
        return {**kept, key: without(value[key], rest, key)} if rest else kept
    if isinstance(value, list):
        shrunk = (without(e, rest) if rest and identity(name, e) == key else e for e in value)
        return [entry for entry in shrunk if rest or identity(name, entry) != key]
    return value


def updated(claims: Claims, paths: Iterable[Path], manager: str, gone: Iterable[Path]) -> Claims:
    """Claims after an update by `manager` that set `paths` and removed `gone`."""
    key = (manager, "Update")
    taken, lost = frozenset(paths), frozenset(gone)
    others = {k: held - taken - lost for k, held in claims.items() if k != key}
    mine = (claims.get(key, frozenset()) - lost) | taken
    return {k: held for k, held in {**others, key: mine}.items() if held}


# Fields by name in metadata.managedFields: of all the others only their owners are told.
TOLD = frozenset({("spec", "replicas")})


def fields_v1(paths: Iterable[Path]) -> Manifest:
    """The fields of TOLD among `paths`, in the words of the API server."""
    found: Manifest = {}
    for *parents, last in TOLD.intersection(paths):
        place = found
        for name in parents:
            place = place.setdefault(f"f:{name}", {})
        place[f"f:{last}"] = {}
    return found


def told(entry: Manifest) -> frozenset[Path]:
    """The fields of TOLD that an entry of metadata.managedFields names."""
    return frozenset(path for path in TOLD if _names(entry.get("fieldsV1"), path))


def _names(fields_of: Any, path: Path) -> bool:
    for name in path:
        if not isinstance(fields_of, dict) or f"f:{name}" not in fields_of:
            return False
        fields_of = fields_of[f"f:{name}"]
    return True
