"""The options of the commands for backups, as click reads them.

They are not taken from the configuration of the service: that comes with a revision, and a restore is before it.
"""

import re
from datetime import timedelta
from pathlib import Path

import click
from pydantic import ValidationError

from aiapp_service.config import ObjectStoreConfig

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"([0-9]+)([smhdw])")


def _duration(text: str) -> timedelta:
    """`14d`, `36h`, `1d12h`."""
    if not text or _DURATION.sub("", text):
        raise click.BadParameter(f"{text[:40]!r} is no duration: write 14d, 36h or 1d12h")
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)))


def read_store(text: str) -> ObjectStoreConfig:
    """The section `objectStore` of the service's configuration, as JSON."""
    try:
        return ObjectStoreConfig.model_validate_json(text)
    except ValidationError as error:
        raise click.BadParameter(f"no objectStore section: {error.errors()[0]['msg']}") from None


_FILE = click.Path(dir_okay=False, path_type=Path)

store = click.option(
    "--store",
    type=read_store,
    required=True,
    help='Where backups are, as JSON: {"bucket": ..., "endpoint": ..., "accessKeyFile": ..., "secretKeyFile": ...}.',
)
app = click.option("--app", required=True, help="Whose backups: the first part of their names.")
url_file = click.option("--url-file", required=True, type=_FILE, help="File with a postgresql:// URL.")
recipients = click.option(
    "--recipient", "recipients", multiple=True, help="Public age key (age1...) to encrypt for; may be repeated."
)
retention = click.option(
    "--retention", type=_duration, help="Remove complete backups older than this, never the last good one."
)
identity_file = click.option("--identity-file", type=_FILE, help="File with an age identity, to decrypt with.")
volume_bytes = click.option("--volume-bytes", type=click.IntRange(min=1), help="Size of the server's disk.")
backup = click.option("--backup", default="latest", show_default=True, help="Name of the backup.")
