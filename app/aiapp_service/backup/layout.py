"""Where backups are in the object store: `APP/backups/2026-11-24T02-00-00Z/{dump,manifest.json}`.

A backup is complete exactly when it has its manifest, which is written last and deleted first.
Names are times of the store's clock (see clock.py), so that the order of names is the order of time.
"""

from datetime import UTC, datetime

_TIME = "%Y-%m-%dT%H-%M-%SZ"
MANIFEST = "manifest.json"
DUMP = "dump"
VERIFIED = "verified.json"


def folder(app: str) -> str:
    """The prefix of all that belongs to the backups of an app."""
    return f"{app}/backups/"


def key(app: str, name: str, part: str) -> str:
    """The key of one part of a backup."""
    return f"{folder(app)}{name}/{part}"


def clock_key(app: str) -> str:
    """The object whose Last-Modified is the time."""
    return f"{folder(app)}clock"


def name_of(time: datetime) -> str:
    """The name of a backup that is made at `time`."""
    return time.astimezone(UTC).strftime(_TIME)


def time_of(name: str) -> datetime | None:
    """When the backup of this name was made; None where it is not the name of one."""
    try:
        return datetime.strptime(name, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
