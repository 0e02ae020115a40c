"""`restore`: a new database comes up from a backup, once.

A comment on the database remembers that it was restored, and from what: a restore that is started again does nothing
then, and one that was killed is started again. It never touches a database that holds anything else.
"""

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL

from aiapp_service.backup import catalogue, contents, restore
from aiapp_service.backup.errors import BackupError, Damaged, Refused
from aiapp_service.backup.manifest import Manifest
from aiapp_service.backup.snapshot import BACKUP_LOCK, connect
from aiapp_service.storage.objects import ObjectStore

log = logging.getLogger(__name__)

_MARK = re.compile(r"\n?aiapp: (restoring|restored) ([a-z0-9-]+/\S+)$")


@dataclass(frozen=True)
class Recovered:
    """What a database came from."""

    backup: str  # APP/NAME
    rows: int
    size: int
    seconds: float
    again: bool = False  # it had been restored before; nothing was done


async def recover(store: ObjectStore, app: str, name: str, url: URL, *, identity_file: Path | None) -> Recovered:
    """Restore backup `name` (or `latest`) of `app` into the database of `url`, which has to be empty.

    Raises:
        Refused: the database holds something that no restore put there.
        BackupError, psycopg.Error: it cannot be restored; the database is as empty as it was.
    """
    started = time.monotonic()
    connection = await asyncio.to_thread(connect, url)
    try:
        await asyncio.to_thread(connection.execute, "SELECT pg_catalog.pg_advisory_lock(%s)", (BACKUP_LOCK,))
        state, source = await asyncio.to_thread(_mark, connection)
        if state == "restored":
            log.info("the database was restored before", extra={"backup": source})
            return Recovered(source, 0, 0, 0.0, again=True)
        manifest = await _manifest(store, app, name, source)
        wanted = f"{manifest.app}/{manifest.name}"
        if await asyncio.to_thread(contents.relations, connection):
            await asyncio.to_thread(_check_remains, url, manifest, state)
        else:
            await asyncio.to_thread(_set_mark, connection, f"aiapp: restoring {wanted}")
            await restore.fill(store, manifest, url, identity_file)
        await asyncio.to_thread(_set_mark, connection, f"aiapp: restored {wanted}")
    finally:
        await asyncio.to_thread(connection.close)
    return Recovered(wanted, manifest.rows, manifest.dump.size, round(time.monotonic() - started, 3))


async def _manifest(store: ObjectStore, app: str, name: str, source: str) -> Manifest:
    """Of a restore that was begun, `latest` is the backup that was the latest then."""
    begun_app, _, begun = source.partition("/")
    if begun_app == app and name == catalogue.LATEST:
        try:
            return await catalogue.chosen(store, app, begun)
        except BackupError:
            log.info("the backup that a restore was begun with is gone", extra={"backup": begun})
    return await catalogue.chosen(store, app, name)


def _check_remains(url: URL, manifest: Manifest, state: str) -> None:
    """What is there may be the whole of a restore that was killed before it said so: it was one transaction."""
    if state != "restoring":
        raise Refused(
            "the database is not empty and was not made by a restore: restoreFrom is for a new AIApp with a new "
            "volume; remove restoreFrom, or delete the volume to lose what it holds"
        )
    try:
        restore.compare(url, manifest)
    except Damaged as error:
        raise Refused(f"the database was changed since a restore into it was begun: {error}") from error


def _mark(connection: psycopg.Connection) -> tuple[str, str]:
    """State and source out of the comment; empty where there is no such mark."""
    found = _MARK.search(_comment(connection))
    return (found.group(1), found.group(2)) if found is not None else ("", "")


def _comment(connection: psycopg.Connection) -> str:
    row = connection.execute(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database "
        "WHERE datname = pg_catalog.current_database()"
    ).fetchone()
    return str(row[0]) if row and row[0] is not None else ""


def _set_mark(connection: psycopg.Connection, mark: str) -> None:
    """Behind whatever comment there is."""
    others = _MARK.sub("", _comment(connection))
    database = connection.info.dbname
    text = f"{others}\n{mark}" if others else mark
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), sql.Literal(text)))
