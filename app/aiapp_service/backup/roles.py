"""What `aiapp-service backup`, `verify-restore`, `restore` and `backups list` do: one piece of work, one result.

The result is a line of JSON where Kubernetes shows it in the status of the pod; a failure is a line of words
there, without secrets.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from aiapp_service.backup import catalogue
from aiapp_service.backup.create import Wanted, back_up, clean
from aiapp_service.backup.drill import verify
from aiapp_service.backup.errors import BackupError
from aiapp_service.backup.recover import recover
from aiapp_service.config import ObjectStoreConfig
from aiapp_service.db.connect import WrongUrl, read_url
from aiapp_service.db.migrate import RESULT_FILE, tell
from aiapp_service.storage.objects import ObjectMissing, ObjectStore, ObjectStoreError, TooLarge
from aiapp_service.telemetry.logs import without_secrets

log = logging.getLogger(__name__)

# What is under way is given up at once; a thread that waits for the database may hold the end up for so long.
END_SECONDS = 10.0
_TERMINATED = 128 + signal.SIGTERM

Document = dict[str, Any]
_Work = Callable[[ObjectStore], Awaitable[Document]]


def run_backup(
    config: ObjectStoreConfig,
    app: str,
    url_file: Path,
    *,
    recipients: tuple[str, ...],
    retention: timedelta | None,
) -> int:
    """Make a backup, then remove what is past its retention; gives the exit code."""

    async def work(store: ObjectStore) -> Document:
        made = await back_up(store, Wanted(app, read_url(url_file), recipients))
        document: Document = {
            "name": made.name,
            "time": _time(made.time),
            "size": made.dump.size,
            "seconds": made.seconds,
            "rows": made.rows,
        }
        if retention is not None:
            try:
                document["removed"] = await clean(store, app, retention)
            except ObjectStoreError as error:
                # The backup is made all the same; the next one cleans up.
                log.warning("old backups are not removed", extra={"error": str(error)})
        return {"backup": document}

    return _run("backup", config, work)


def run_drill(
    config: ObjectStoreConfig,
    app: str,
    url_file: Path,
    *,
    identity_file: Path | None,
    volume_bytes: int | None,
) -> int:
    """Restore the newest backup into a scratch database and compare; gives the exit code."""

    async def work(store: ObjectStore) -> Document:
        url = read_url(url_file)
        proven = await verify(store, app, url, identity_file=identity_file, volume_bytes=volume_bytes)
        return {"verified": {**proven.model_dump(mode="json", by_alias=True), "time": _time(proven.time)}}

    return _run("verify-restore", config, work)


def run_restore(
    config: ObjectStoreConfig,
    app: str,
    url_file: Path,
    *,
    backup: str,
    identity_file: Path | None,
) -> int:
    """Restore a backup into an empty database; gives the exit code."""

    async def work(store: ObjectStore) -> Document:
        return {"restored": asdict(await recover(store, app, backup, read_url(url_file), identity_file=identity_file))}

    return _run("restore", config, work)


def run_list(config: ObjectStoreConfig, app: str) -> int:
    """Print the backups of an app, newest first, a line of JSON each; gives the exit code."""

    async def work(store: ObjectStore) -> Document:
        for entry in reversed(await catalogue.entries(store, app)):
            line = {
                "name": entry.name,
                "size": entry.size,
                "complete": entry.complete,
                "verified": entry.verified,
            }
            sys.stdout.write(json.dumps(line) + "\n")
        return {}

    return _run("backups list", config, work)


def _run(role: str, config: ObjectStoreConfig, work: _Work) -> int:
    try:
        document = asyncio.run(_with_store(config, work))
    except (WrongUrl, OSError, psycopg.Error, BackupError, ObjectStoreError) as error:
        message = _one_line(error)
        log.error("%s failed", role, extra={"error": message})  # noqa: TRY400  # the traceback may hold the URL
        tell(RESULT_FILE, f"{role} failed: {message}")
        return 1
    except asyncio.CancelledError:
        log.warning("%s was told to end", role)
        tell(RESULT_FILE, f"{role} was told to end before it was done")
        return _TERMINATED
    if document:
        log.info("%s done", role, extra=document)
        tell(RESULT_FILE, json.dumps(document))
    return 0


def _end_on_sigterm() -> None:
    """Process 1 would not hear it otherwise, and keep its pod for as long as Kubernetes lets it."""
    if threading.current_thread() is not threading.main_thread():
        return
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # it runs this

    def end() -> None:
        late = threading.Timer(END_SECONDS, os._exit, (_TERMINATED,))
        late.daemon = True
        late.start()
        task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)


async def _with_store(config: ObjectStoreConfig, work: _Work) -> Document:
    _end_on_sigterm()
    store = ObjectStore(config)
    try:
        return await work(store)
    finally:
        await store.close()


def _time(value: Any) -> str:
    """RFC 3339 to the second, as Kubernetes has it."""
    return str(value.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _one_line(error: Exception) -> str:
    if isinstance(error, ObjectMissing):
        return "the dump of the backup is gone from the object store"
    if isinstance(error, TooLarge):
        return "the dump is larger than the object store takes in one object"
    return " ".join(without_secrets(str(error)).split())[:500] or type(error).__name__
