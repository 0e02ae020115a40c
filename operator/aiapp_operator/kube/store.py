"""Cached objects of the watched kinds, by AIApp.

Objects are kept as compact JSON and parsed when they are looked at: thousands of parsed trees
would cost ten times the memory. What we have just written is put here too, so that the next look
never sees a state older than our own write.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import app_of


class AppKey(NamedTuple):
    """An AIApp."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


NEWEST = str(2**63)  # a version that no object is newer than


@dataclass(frozen=True)
class Listing:
    """All objects of a list, and the version of the list: where to watch from."""

    items: list[Manifest]
    resource_version: str

    @property
    def version(self) -> int:
        """The version as a number."""
        return _number(self.resource_version)


@dataclass(frozen=True, slots=True)
class _Entry:
    version: int
    app: AppKey
    data: bytes
    holds: str = ""  # hash of the intent that this version of the object was found to be


def version_of(manifest: Manifest) -> int:
    """metadata.resourceVersion as a number; Kubernetes documents that versions compare as such."""
    return _number(str(manifest["metadata"].get("resourceVersion", "")))


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


def _compact(manifest: Manifest) -> bytes:
    meta = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return json.dumps({**manifest, "metadata": meta}, separators=(",", ":")).encode()


class ChildStore:
    """Children of all AIApps."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[tuple[str, str], _Entry]] = {}
        self._by_app: dict[AppKey, dict[ObjectKey, None]] = {}

    def put(self, manifest: Manifest) -> AppKey | None:
        """Remember an object unless a newer version is known; gives the AIApp that has to be looked at."""
        meta = manifest["metadata"]
        entries = self._entries.setdefault(manifest["kind"], {})
        place = (meta["namespace"], meta["name"])
        known = entries.get(place)
        version = version_of(manifest)
        if known is not None and known.version >= version:
            return None
        app = AppKey(meta["namespace"], app_of(manifest))
        if known is not None and known.app != app:
            self._forget(known, manifest["kind"], meta["name"])
        entries[place] = _Entry(version, app, _compact(manifest))
        self._by_app.setdefault(app, {})[ObjectKey(manifest["kind"], meta["name"])] = None
        return app

    def remove(self, deleted: Manifest) -> AppKey | None:
        """Forget an object, given as it was when it was deleted; one that was made anew since then stays."""
        meta = deleted["metadata"]
        return self._remove(deleted["kind"], meta["namespace"], meta["name"], version_of(deleted))

    def _remove(self, kind: str, namespace: str, name: str, version: int) -> AppKey | None:
        entries = self._entries.get(kind, {})
        known = entries.get((namespace, name))
        if known is None or known.version > version:
            return None
        del entries[(namespace, name)]
        self._forget(known, kind, name)
        return known.app

    def replace(self, kind: str, namespace: str | None, listing: Listing) -> set[AppKey]:
        """Take a list of one namespace (None: all) as the truth; gives the AIApps for which something differs."""
        touched: set[AppKey] = set()
        listed = set()
        for item in listing.items:
            listed.add((item["metadata"]["namespace"], item["metadata"]["name"]))
            app = self.put(item)
            if app is not None:
                touched.add(app)
        for place in [p for p in self._entries.get(kind, {}) if p not in listed]:
            if namespace is None or place[0] == namespace:
                app = self._remove(kind, *place, version=listing.version)
                if app is not None:
                    touched.add(app)
        return touched

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object as last seen."""
        entry = self._entries.get(kind, {}).get((namespace, name))
        return None if entry is None else _parse(entry)

    def holds(self, kind: str, namespace: str, name: str, intent: str) -> bool:
        """Whether this version of the object was found to be what the intent with this hash says."""
        entry = self._entries.get(kind, {}).get((namespace, name))
        return entry is not None and entry.holds == intent

    def found_to_hold(self, observed: Manifest, intent: str) -> None:
        """Remember, for as long as this version is the newest, that `observed` is what the intent says."""
        entries = self._entries.get(observed["kind"], {})
        place = (observed["metadata"]["namespace"], observed["metadata"]["name"])
        entry = entries.get(place)
        if entry is not None and entry.version == version_of(observed):
            entries[place] = replace(entry, holds=intent)

    def keys(self, app: AppKey) -> list[ObjectKey]:
        """Keys of all objects of an AIApp, in a fixed order."""
        return sorted(self._by_app.get(app, ()))

    def children(self, app: AppKey) -> Iterator[Manifest]:
        """All objects of an AIApp, in a fixed order."""
        for key in self.keys(app):
            yield _parse(self._entries[key.kind][(app.namespace, key.name)])

    def _forget(self, entry: _Entry, kind: str, name: str) -> None:
        keys = self._by_app.get(entry.app, {})
        keys.pop(ObjectKey(kind, name), None)
        if not keys:
            self._by_app.pop(entry.app, None)


def _parse(entry: _Entry) -> Manifest:
    parsed: Manifest = json.loads(entry.data)
    return parsed


def app_key(manifest: Manifest) -> AppKey:
    """The key of an AIApp."""
    return AppKey(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


class AppStore:
    """AIApps as last seen, by key."""

    def __init__(self) -> None:
        self._apps: dict[AppKey, tuple[int, bytes]] = {}

    def put(self, manifest: Manifest) -> bool:
        """Remember an AIApp; False when this version, or a newer one, is known already."""
        key = app_key(manifest)
        version = version_of(manifest)
        known = self._apps.get(key)
        if known is not None and known[0] >= version:
            return False
        self._apps[key] = (version, _compact(manifest))
        return True

    def remove(self, deleted: Manifest) -> bool:
        """Forget an AIApp, given as it was when it was deleted; False when it was made anew since then."""
        key = app_key(deleted)
        known = self._apps.get(key)
        if known is not None and known[0] > version_of(deleted):
            return False
        self._apps.pop(key, None)
        return True

    def replace(self, listing: Listing, namespace: str | None) -> set[AppKey]:
        """Take a list of one namespace (None: all) as the truth; gives the AIApps for which something differs."""
        changed = {app_key(item) for item in listing.items if self.put(item)}
        listed = {app_key(item) for item in listing.items}
        gone = {
            key
            for key, (known, _) in self._apps.items()
            if key not in listed and known <= listing.version and namespace in (None, key.namespace)
        }
        for key in gone:
            del self._apps[key]
        return changed | gone

    def get(self, key: AppKey) -> Manifest | None:
        """The AIApp as last seen."""
        known = self._apps.get(key)
        if known is None:
            return None
        manifest: Manifest = json.loads(known[1])
        return manifest

    def __iter__(self) -> Iterator[AppKey]:
        """All AIApps, in a fixed order."""
        return iter(sorted(self._apps))
