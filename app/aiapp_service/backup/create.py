"""Making a backup: a snapshot is dumped, encrypted and stored as a stream, and described by a manifest."""

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import URL

from aiapp_service.backup import catalogue, clock, layout, programs
from aiapp_service.backup.encryption import encrypted
from aiapp_service.backup.manifest import DumpFile, Manifest
from aiapp_service.backup.snapshot import Snapshot, connect, exported, wait_for_turn
from aiapp_service.storage.objects import PART_BYTES, ObjectStore, Stored

log = logging.getLogger(__name__)

MANIFEST_TYPE = "application/json"
_DUMP_TYPE = "application/octet-stream"
_SKEW_SECONDS = 60
_CLOCK_STEP_SECONDS = 0.3
_PARTS = 5_000


@dataclass(frozen=True)
class Wanted:
    """What to back up and how. Without recipients it is not encrypted."""

    app: str
    url: URL
    recipients: tuple[str, ...] = ()


async def back_up(store: ObjectStore, wanted: Wanted) -> Manifest:
    """Make one backup. It is complete when this returns, and not offered to anybody when it raises.

    Raises:
        BackupError, psycopg.Error: it cannot be made.
    """
    started = time.monotonic()
    connection = await asyncio.to_thread(connect, wanted.url)
    try:
        await asyncio.to_thread(wait_for_turn, connection)
        begun = await _free_name(store, wanted.app)
        with exported(connection) as snapshot:
            _warn_of_skew(begun, snapshot.time)
            return await _store(store, wanted, begun, snapshot, started)
    finally:
        await asyncio.to_thread(connection.close)


async def clean(store: ObjectStore, app: str, retention: timedelta) -> int:
    """Remove what is past its retention and what killed backups left; gives how many."""
    now = await clock.now(store, app)
    gone = catalogue.expired(await catalogue.entries(store, app), now, retention)
    for entry in gone:
        await catalogue.remove(store, app, entry)
    # The store's clock is the one that counts; `abort_stale` looks at ours.
    await store.abort_stale(layout.folder(app), datetime.now(UTC) - (now - catalogue.ORPHAN_AGE))
    return len(gone)


async def _free_name(store: ObjectStore, app: str) -> datetime:
    """Now, in a second that no backup of the app has its name from."""
    taken = {entry.name for entry in await catalogue.entries(store, app)}
    while True:
        begun = await clock.now(store, app)
        if layout.name_of(begun) not in taken:
            return begun
        await asyncio.sleep(_CLOCK_STEP_SECONDS)


async def _store(store: ObjectStore, wanted: Wanted, begun: datetime, snapshot: Snapshot, started: float) -> Manifest:
    name = layout.name_of(begun)
    putting = asyncio.create_task(_upload(store, wanted, name, snapshot))
    reading = asyncio.create_task(asyncio.to_thread(lambda: (snapshot.tables(), snapshot.roles())))
    try:
        stored, (tables, roles) = await asyncio.gather(putting, reading)
    except BaseException:  # cancelled too: neither half goes on without the other
        putting.cancel()
        # A statement of its own thread ends with the connection, not with the task.
        snapshot.connection.cancel()
        await asyncio.gather(putting, reading, return_exceptions=True)
        raise
    manifest = Manifest(
        app=wanted.app,
        name=name,
        time=begun,
        database_time=snapshot.time,
        seconds=round(time.monotonic() - started, 3),
        server_version=snapshot.server_version,
        database_size=snapshot.database_size,
        roles=roles,
        dump=DumpFile(size=stored.size, sha256=stored.sha256, encrypted=bool(wanted.recipients)),
        tables=tables,
    )
    key = layout.key(wanted.app, name, layout.MANIFEST)
    await store.put(key, clock.whole(manifest.json_bytes()), content_type=MANIFEST_TYPE)
    return manifest


async def _upload(store: ObjectStore, wanted: Wanted, name: str, snapshot: Snapshot) -> Stored:
    async with (
        aclosing(programs.dump(wanted.url, snapshot.id)) as dumped,
        aclosing(encrypted(dumped, wanted.recipients) if wanted.recipients else dumped) as pieces,
    ):
        return await store.put(
            layout.key(wanted.app, name, layout.DUMP),
            pieces,
            content_type=_DUMP_TYPE,
            # A store takes so many parts and no more; a dump is hardly ever larger than its database.
            part_bytes=max(PART_BYTES, snapshot.database_size // _PARTS),
        )


def _warn_of_skew(store_time: datetime, database_time: datetime) -> None:
    skew = (database_time - store_time).total_seconds()
    if abs(skew) > _SKEW_SECONDS:
        log.warning("the clocks of database and object store differ", extra={"seconds": round(skew)})
