"""Cached objects of the watched kinds, by AIApp.

Objects are kept as compact JSON and parsed when they are looked at: thousands of parsed trees
would cost ten times the memory. What we have just written is put here too, so that the next look
never sees a state older than our own write.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import app_of


class AppKey(NamedTuple):
    """An AIApp."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class _Entry:
    version: int
    uid: str
    app: AppKey
    data: bytes


def version_of(manifest: Manifest) -> int:
    """metadata.resourceVersion as a number; Kubernetes documents that versions compare as such."""
    text = str(manifest["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


def _compact(manifest: Manifest) -> bytes:
    manifest["metadata"].pop("managedFields", None)
    return json.dumps(manifest, separators=(",", ":")).encode()


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
        entries[place] = _Entry(version, str(meta.get("uid", "")), app, _compact(manifest))
        self._by_app.setdefault(app, {})[ObjectKey(manifest["kind"], meta["name"])] = None
        return app

    def remove(self, kind: str, namespace: str, name: str, version: int) -> AppKey | None:
        """Forget an object that was deleted at `version`; one that was made anew since then stays."""
        entries = self._entries.get(kind, {})
        known = entries.get((namespace, name))
        if known is None or known.version > version:
            return None
        del entries[(namespace, name)]
        self._forget(known, kind, name)
        return known.app

    def replace(self, kind: str, namespace: str | None, items: Iterable[Manifest], version: int) -> set[AppKey]:
        """Take a list made at `version` as the truth; gives the AIApps for which something differs."""
        touched: set[AppKey] = set()
        listed = set()
        for item in items:
            listed.add((item["metadata"]["namespace"], item["metadata"]["name"]))
            app = self.put(item)
            if app is not None:
                touched.add(app)
        for place in [p for p in self._entries.get(kind, {}) if p not in listed]:
            if namespace is None or place[0] == namespace:
                app = self.remove(kind, *place, version=version)
                if app is not None:
                    touched.add(app)
        return touched

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object as last seen."""
        entry = self._entries.get(kind, {}).get((namespace, name))
        return None if entry is None else _parse(entry)

    def children(self, app: AppKey) -> Iterator[Manifest]:
        """All objects of an AIApp, in a fixed order."""
        for key in sorted(self._by_app.get(app, ())):
            yield _parse(self._entries[key.kind][(app.namespace, key.name)])

    def _forget(self, entry: _Entry, kind: str, name: str) -> None:
        keys = self._by_app.get(entry.app, {})
        keys.pop(ObjectKey(kind, name), None)
        if not keys:
            self._by_app.pop(entry.app, None)


def _parse(entry: _Entry) -> Manifest:
    parsed: Manifest = json.loads(entry.data)
    return parsed


class AppStore:
    """AIApps as last seen, by key."""

    def __init__(self) -> None:
        self._apps: dict[AppKey, tuple[int, bytes]] = {}

    def put(self, manifest: Manifest) -> None:
        """Remember an AIApp unless a newer version is known."""
        key = AppKey(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        version = version_of(manifest)
        known = self._apps.get(key)
        if known is None or known[0] <= version:
            self._apps[key] = (version, _compact(manifest))

    def remove(self, key: AppKey) -> None:
        """Forget an AIApp."""
        self._apps.pop(key, None)

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
