"""Which backups there are, and which of them may go.

Only complete ones are offered. Those older than the retention go, but never the newest complete one and never the
newest that a drill has restored. What a killed backup left behind goes a day later.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from aiapp_service.backup import layout
from aiapp_service.backup.errors import Damaged, NotFound
from aiapp_service.backup.manifest import Manifest
from aiapp_service.storage.objects import ObjectStore, TooLarge

log = logging.getLogger(__name__)

LATEST = "latest"
ORPHAN_AGE = timedelta(days=1)
_MOST_MANIFEST = 64 << 20
_MOST_NAMED = 10


@dataclass(frozen=True)
class Entry:
    """What there is of one backup."""

    name: str
    time: datetime
    parts: frozenset[str]
    size: int

    @property
    def complete(self) -> bool:
        """Whether it was finished."""
        return layout.MANIFEST in self.parts

    @property
    def verified(self) -> bool:
        """Whether a drill has restored it."""
        return self.complete and layout.VERIFIED in self.parts


async def entries(store: ObjectStore, app: str) -> list[Entry]:
    """Everything of the app that has the name of a backup, complete or not, oldest first."""
    folder = layout.folder(app)
    sizes: dict[str, dict[str, int]] = {}
    async for found in store.list(folder):
        name, _, part = found.key.removeprefix(folder).partition("/")
        if part and layout.time_of(name) is not None:
            sizes.setdefault(name, {})[part] = found.size
    listed = []
    for name, parts in sorted(sizes.items()):
        time = layout.time_of(name)
        assert time is not None  # noqa: S101  # only such names are taken
        listed.append(Entry(name, time, frozenset(parts), parts.get(layout.DUMP, 0)))
    return listed


async def chosen(store: ObjectStore, app: str, name: str) -> Manifest:
    """The manifest of a complete backup; `latest` is the newest one.

    Raises:
        NotFound: there is none of this name; the message lists what there is.
        Damaged: its manifest cannot be read.
    """
    complete = [entry.name for entry in await entries(store, app) if entry.complete]
    if not complete:
        raise NotFound(f"there is no backup of {app} in the object store")
    if name == LATEST:
        name = complete[-1]
    if name not in complete:
        shown = ", ".join(reversed(complete[-_MOST_NAMED:]))
        more = f" and {len(complete) - _MOST_NAMED} older" if len(complete) > _MOST_NAMED else ""
        raise NotFound(f"there is no backup {name[:40]} of {app}; there are: {shown}{more}")
    return await read(store, app, name)


async def read(store: ObjectStore, app: str, name: str) -> Manifest:
    """The manifest of a complete backup.

    Raises:
        Damaged: it cannot be read.
    """
    try:
        data = await store.read(layout.key(app, name, layout.MANIFEST), _MOST_MANIFEST)
        return Manifest.model_validate_json(data)
    except (ValidationError, TooLarge) as error:
        raise Damaged(f"the manifest of backup {name} is damaged") from error


def expired(listed: list[Entry], now: datetime, retention: timedelta) -> list[Entry]:
    """What may go of `listed` at `now`, oldest first."""
    complete = [entry for entry in listed if entry.complete]
    verified = [entry for entry in complete if entry.verified]
    kept = {entry.name for entry in (*complete[-1:], *verified[-1:])}
    return [
        entry
        for entry in listed
        if entry.name not in kept and now - entry.time > (retention if entry.complete else ORPHAN_AGE)
    ]


async def remove(store: ObjectStore, app: str, entry: Entry) -> None:
    """Delete a backup, its manifest first: what is left of a deletion that was cut off is not offered."""
    rest = sorted(entry.parts - {layout.MANIFEST})
    for part in (*({layout.MANIFEST} & entry.parts), *rest):
        await store.delete(layout.key(app, entry.name, part))
    log.info("backup removed", extra={"backup": entry.name, "complete": entry.complete})
