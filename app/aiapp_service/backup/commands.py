"""`aiapp-service backup | verify-restore | restore | backups list`.

Exit codes: 0 done; 1 failed, with the cause on the last line and as the result; 2 the options are wrong.
"""

# ruff: noqa: PLC0415  # what only one command needs is loaded by that command

import os
import sys
from datetime import timedelta
from pathlib import Path

import click

from aiapp_service.backup import options
from aiapp_service.config import ObjectStoreConfig


@click.command("backup")
@options.store
@options.app
@options.url_file
@options.recipients
@options.retention
def _backup(
    store: ObjectStoreConfig, app: str, url_file: Path, recipients: tuple[str, ...], retention: timedelta | None
) -> None:
    """Back up the database into the object store."""
    from aiapp_service.backup.roles import run_backup

    _logs()
    sys.exit(run_backup(store, app, url_file, recipients=recipients, retention=retention))


@click.command("verify-restore")
@options.store
@options.app
@options.url_file
@options.identity_file
@options.volume_bytes
def _verify_restore(
    store: ObjectStoreConfig, app: str, url_file: Path, identity_file: Path | None, volume_bytes: int | None
) -> None:
    """Prove the newest backup: restore it into a scratch database and compare every table."""
    from aiapp_service.backup.roles import run_drill

    _logs()
    sys.exit(run_drill(store, app, url_file, identity_file=identity_file, volume_bytes=volume_bytes))


@click.command("restore")
@options.store
@options.app
@options.url_file
@options.identity_file
@options.backup
def _restore(store: ObjectStoreConfig, app: str, url_file: Path, identity_file: Path | None, backup: str) -> None:
    """Restore a backup into an empty database."""
    from aiapp_service.backup.roles import run_restore

    _logs()
    sys.exit(run_restore(store, app, url_file, backup=backup, identity_file=identity_file))


@click.group("backups")
def _backups() -> None:
    """Look at backups."""


@_backups.command("list")
@options.store
@options.app
def _list(store: ObjectStoreConfig, app: str) -> None:
    """Print the backups of an app, newest first, a line of JSON each."""
    from aiapp_service.backup.roles import run_list

    _logs("WARNING")
    sys.exit(run_list(store, app))


COMMANDS = (_backup, _verify_restore, _restore, _backups)


def _logs(level: str = "INFO") -> None:
    from aiapp_service.telemetry.logs import set_up

    set_up(os.environ.get("LOG_LEVEL", level))
