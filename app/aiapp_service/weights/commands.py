"""`aiapp-service fetch-model | collect-models`: what Jobs do on the cache volume of a model server.

The result is a line of JSON where Kubernetes shows it in the status of the pod: {"model": ...}, or {"failed": ...}
with the cause and what to do. While it goes on, GET /progress tells of bytes.
"""

# ruff: noqa: PLC0415  # what only one command needs is loaded by that command

import os
import signal
import sys
from pathlib import Path

import click

from aiapp_service.backup import options
from aiapp_service.config import ObjectStoreConfig

_INTO = click.option(
    "--into", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="The cache volume."
)


@click.command("fetch-model")
@click.option("--source", required=True, help="hf://ORG/NAME[/FILE], s3://BUCKET/KEY or s3://BUCKET/FOLDER/.")
@click.option("--revision", default="", help="Branch, tag or commit of an hf:// source.")
@_INTO
@click.option("--name", required=True, help="What the download is called on the volume.")
@click.option("--hub", default="https://huggingface.co", show_default=True, help="Address of the hub, or of a mirror.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with a token of the hub.")
@click.option("--store", type=options.read_store, help="The store of an s3:// source, as JSON.")
@click.option("--port", default=0, help="Port to tell of the progress on; 0: nowhere.")
def _fetch(
    source: str,
    revision: str,
    into: Path,
    name: str,
    hub: str,
    token_file: Path | None,
    store: ObjectStoreConfig | None,
    port: int,
) -> None:
    """Download a model to a volume, whole and verified; go on where an earlier try was broken off."""
    from aiapp_service.weights import roles
    from aiapp_service.weights.bucket import Bucket
    from aiapp_service.weights.hub import Hub
    from aiapp_service.weights.source import Source

    _begin()
    place: Source
    if source.startswith("s3://"):
        if store is None:
            raise click.BadParameter("an s3:// source needs --store")
        place = Bucket(store, source)
    else:
        place = Hub(hub, source, revision, token_file)
    sys.exit(roles.run_fetch(place, into, name, port))


@click.command("collect-models")
@_INTO
@click.option("--keep", multiple=True, help="What is to stay; may be repeated.")
def _collect(into: Path, keep: tuple[str, ...]) -> None:
    """Remove everything else from a volume of models."""
    from aiapp_service.weights import roles

    _begin()
    sys.exit(roles.run_collect(into, keep))


def _begin() -> None:
    from aiapp_service.telemetry.logs import set_up

    set_up(os.environ.get("LOG_LEVEL", "INFO"))
    # What has come is on the volume, so nothing has to be brought to an end; a first process has no default for this.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


COMMANDS = (_fetch, _collect)
