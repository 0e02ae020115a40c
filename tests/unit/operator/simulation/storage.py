"""What the API server stores: objects and the history of their changes, one version for all."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aiapp_operator.api.manifest import Manifest


class Place(NamedTuple):
    """Where an object lies; objects without a namespace have an empty one."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Change:
    """One entry of the history. `before` is None for what is new, `after` for what is gone."""

    version: int
    place: Place
    before: Manifest | None
    after: Manifest | None


class Storage:
    """Objects are never changed in place: each write puts a new one."""

    def __init__(self) -> None:
        self.version = 100
        self.compacted = self.version  # changes up to here can no longer be watched
        self.history: list[Change] = []
        self._objects: dict[Place, Manifest] = {}
        self._changed: asyncio.Future[None] | None = None

    def get(self, place: Place) -> Manifest | None:
        return self._objects.get(place)

    def all(self, kind: str = "", namespace: str = "") -> list[Manifest]:
        """Objects, narrowed by kind and namespace, in a fixed order."""
        return [
            self._objects[p] for p in sorted(self._objects) if kind in {"", p.kind} and namespace in {"", p.namespace}
        ]

    def at(self, version: int, kind: str) -> list[Manifest]:
        """The objects of a kind as they were at an earlier version."""
        found = {place: manifest for place, manifest in self._objects.items() if place.kind == kind}
        for change in reversed(self.history):
            if change.version <= version:
                break
            if change.place.kind != kind:
                continue
            if change.before is None:
                found.pop(change.place, None)
            else:
                found[change.place] = change.before
        return [found[place] for place in sorted(found)]

    def put(self, place: Place, manifest: Manifest) -> Manifest:
        """Store `manifest` under the next version."""
        self.version += 1
        stored = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}}
        self._record(place, stored)
        self._objects[place] = stored
        return stored

    def remove(self, place: Place) -> None:
        self.version += 1
        self._record(place, None)
        del self._objects[place]

    def since(self, version: int) -> Iterator[Change]:
        """Changes after `version`, the oldest first."""
        return (self.history[i] for i in range(self._index(version), len(self.history)))

    def compact(self) -> None:
        """Forget the history, as etcd does every few minutes: older watches have to list again."""
        self.compacted = self.version

    async def changed(self) -> None:
        """Wait for the next write."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def _index(self, version: int) -> int:
        # Each change has a version of its own, without gaps.
        return max(0, version - self.history[0].version + 1) if self.history else 0

    def _record(self, place: Place, after: Manifest | None) -> None:
        self.history.append(Change(self.version, place, self._objects.get(place), after))
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
