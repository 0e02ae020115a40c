"""From a stored backup to a database that holds the same, in one transaction and compared with the manifest."""

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path

from sqlalchemy import URL

from aiapp_service.backup import contents, layout, programs
from aiapp_service.backup.encryption import decrypted
from aiapp_service.backup.errors import Damaged, ProgramFailed, Undecryptable
from aiapp_service.backup.manifest import Manifest
from aiapp_service.backup.snapshot import connect
from aiapp_service.backup.stored import Verified
from aiapp_service.storage.objects import ObjectStore

log = logging.getLogger(__name__)

_MOST_SAID = 5


async def fill(store: ObjectStore, manifest: Manifest, url: URL, identity_file: Path | None) -> None:
    """Restore into the empty database of `url` and compare it with the manifest.

    Raises:
        Damaged: the dump is not what was written, or what came of it is not what the manifest says.
        BackupError, psycopg.Error: it cannot be restored. Nothing of it is in the database then.
    """
    options = await asyncio.to_thread(_options, url, manifest)
    async with aclosing(store.stream(layout.key(manifest.app, manifest.name, layout.DUMP))) as stored:
        verified = Verified(stored, manifest.dump)
        try:
            async with (
                aclosing(verified.pieces()) as whole,
                aclosing(decrypted(whole, identity_file) if manifest.dump.encrypted else whole) as pieces,
            ):
                await programs.restore(url, pieces, options)
        except (ProgramFailed, Undecryptable):
            # pg_restore stumbles over a damaged dump before its end: then that is the cause.
            await verified.check_the_rest()
            raise
    await asyncio.to_thread(compare, url, manifest)


def compare(url: URL, manifest: Manifest) -> None:
    """Compare every table with the manifest.

    Raises:
        Damaged: something differs; the message says what.
    """
    with connect(url) as connection:
        found = contents.tables(connection)
    said = contents.differences(manifest.tables, found)
    if said:
        more = f" and {len(said) - _MOST_SAID} more" if len(said) > _MOST_SAID else ""
        raise Damaged(f"the restored database is not what was backed up: {'; '.join(said[:_MOST_SAID])}{more}")


def _options(url: URL, manifest: Manifest) -> list[str]:
    """Owners and rights as they were where that is possible, else everything belongs to who restores."""
    with connect(url) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").fetchone()
        known = {name for (name,) in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()}
    superuser = row == (True,)
    options = []
    if not superuser:
        # Only the owner of an extension may comment it, and that is a superuser.
        options.append("--no-comments")
    if not superuser or not known.issuperset(manifest.roles):
        log.info("owners and rights are not restored", extra={"backup": manifest.name, "superuser": superuser})
        options += ["--no-owner", "--no-privileges"]
    return options
