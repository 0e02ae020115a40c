"""The restore drill: the newest backup is restored beside the database it came from, compared, and dropped."""

import asyncio
import logging
import secrets
import time
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL

from aiapp_service.backup import catalogue, clock, layout, restore
from aiapp_service.backup.create import MANIFEST_TYPE
from aiapp_service.backup.errors import BackupError
from aiapp_service.backup.manifest import Manifest, Verification
from aiapp_service.backup.snapshot import connect
from aiapp_service.storage.objects import ObjectStore

log = logging.getLogger(__name__)

PREFIX = "aiapp_verify_"
DRILL_LOCK = 0x6169617070647269  # any number that nobody else takes: "aiappdri"
# Beside the files of the databases there are logs of transactions: a drill must not fill the disk with its own.
_ROOM = 1.25


async def verify(
    store: ObjectStore, app: str, url: URL, *, identity_file: Path | None, volume_bytes: int | None
) -> Verification:
    """Restore the newest complete backup into a scratch database and compare it with its manifest.

    `volume_bytes` is the size of the server's disk, where it is known: a drill that would fill it is not begun.

    Raises:
        BackupError, psycopg.Error: the backup is not proven; the message says why.
    """
    started = time.monotonic()
    connection = await asyncio.to_thread(connect, url)
    try:
        await asyncio.to_thread(_take_turn, connection)
        manifest = await catalogue.chosen(store, app, catalogue.LATEST)
        await asyncio.to_thread(_check_room, connection, manifest, volume_bytes)
        scratch = f"{PREFIX}{secrets.token_hex(6)}"
        try:
            await asyncio.to_thread(_create, connection, scratch)
            await restore.fill(store, manifest, url.set(database=scratch), identity_file)
        finally:
            # On a connection of its own: the other one may be why it failed.
            await asyncio.shield(asyncio.to_thread(_drop, url, scratch))
    finally:
        await asyncio.to_thread(connection.close)
    proven = Verification(
        time=await clock.now(store, app),
        size=manifest.dump.size,
        seconds=round(time.monotonic() - started, 3),
        rows=manifest.rows,
        tables=len(manifest.tables),
        backup=manifest.name,
    )
    key = layout.key(app, manifest.name, layout.VERIFIED)
    await store.put(key, clock.whole(proven.json_bytes()), content_type=MANIFEST_TYPE)
    return proven


def _take_turn(connection: psycopg.Connection) -> None:
    """One drill at a time; then all scratch databases there are belong to drills that were killed."""
    connection.execute("SELECT pg_catalog.pg_advisory_lock(%s)", (DRILL_LOCK,))
    found = connection.execute(
        "SELECT datname FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname, %s) "
        "AND pg_catalog.pg_has_role(datdba, 'MEMBER')",
        (PREFIX,),
    ).fetchall()
    for (name,) in found:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        log.warning("the scratch database of a drill that was killed is dropped", extra={"database": name})


def _check_room(connection: psycopg.Connection, manifest: Manifest, volume_bytes: int | None) -> None:
    if volume_bytes is None:
        return
    row = connection.execute(
        "SELECT pg_catalog.sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database "
        "WHERE pg_catalog.has_database_privilege(oid, 'CONNECT')"
    ).fetchone()
    used = int(row[0]) if row else 0
    needed = int((used + manifest.database_size) * _ROOM)
    if needed > volume_bytes:
        raise BackupError(
            f"no room for a restore drill: it needs a volume of {needed >> 20} MiB, there are "
            f"{volume_bytes >> 20} MiB: raise storage.size of the database"
        )


def _create(connection: psycopg.Connection, name: str) -> None:
    """An empty database with the encoding and the order of letters of the one that was backed up."""
    row = connection.execute(
        "SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype FROM pg_catalog.pg_database "
        "WHERE datname = pg_catalog.current_database()"
    ).fetchone()
    assert row is not None  # noqa: S101  # we are connected to it
    encoding, collate, ctype = (sql.Literal(value) for value in row)
    try:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
                sql.Identifier(name), encoding, collate, ctype
            )
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise BackupError("the role of the database may not create databases: grant it CREATEDB for drills") from error


def _drop(url: URL, name: str) -> None:
    with connect(url) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
