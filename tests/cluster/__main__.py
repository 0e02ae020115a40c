"""`python -m tests.cluster`: bring clusters up and down, look at them, load images."""

import json
import os
import shutil
from pathlib import Path

import click
from rich.console import Console

from tests.cluster.gotools import TOOLS, program, stale_builds
from tests.cluster.local import LocalCluster, clusters_of_this_clone, remove_orphans
from tests.cluster.provider import select_cluster
from tests.cluster.steps import CommandFailed

_console = Console(highlight=False)
_name = click.option("--name", default="demo", show_default=True, help="Name of the cluster in this clone.")


@click.group()
def cli() -> None:
    """Real Kubernetes clusters on this machine."""


@cli.command()
@_name
@click.option("--profile", type=click.Choice(["full", "control-plane"]), default="full", show_default=True)
def up(name: str, profile: str) -> None:
    """Bring a cluster up; a running one is left alone."""
    cluster = LocalCluster(name, "control-plane") if profile == "control-plane" else select_cluster(name)
    cluster.up(_console)
    _console.print(f"export KUBECONFIG={cluster.kubeconfig}", markup=False)


@cli.command()
@_name
@click.option("--all", "everything", is_flag=True, help="All clusters of this clone, and of clones that are gone.")
def down(name: str, everything: bool) -> None:
    """Remove a cluster and all it left."""
    if not everything:
        select_cluster(name).down(_console)
        return
    for cluster in clusters_of_this_clone():
        cluster.down(_console)
    if os.geteuid() == 0:
        remove_orphans(_console)
    for leftover in stale_builds():
        shutil.rmtree(leftover, ignore_errors=True)


@cli.command()
def status() -> None:
    """Say which clusters of this clone run."""
    for cluster in clusters_of_this_clone():
        _console.print_json(json.dumps(cluster.status()))


@cli.command("load-image")
@_name
@click.argument("image")
def load_image(name: str, image: str) -> None:
    """Load IMAGE: an archive, or the name of an image of the test bed (operator, service, postgres, ...)."""
    cluster = LocalCluster(name)
    if Path(image).exists():
        cluster.load_archive(Path(image))
        return
    refs = cluster.load_images([image], _console)
    _console.print(refs[image], markup=False)


@cli.command()
@click.argument("names", nargs=-1)
def tools(names: tuple[str, ...]) -> None:
    """Build programs (kubectl, helm, kwok, ...; all when none is named) and print where they are."""
    wanted = names or tuple(name for tool in TOOLS.values() for name in tool.binaries)
    for name in wanted:
        click.echo(program(name, _console))


def main() -> None:
    """Run, and print failures as what they say instead of a traceback."""
    try:
        cli()
    except CommandFailed as error:
        raise SystemExit(f"FAILED: {error}") from error


if __name__ == "__main__":
    main()
