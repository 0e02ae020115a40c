"""`aiapp`: what an administrator or a pipeline wants to know, without the operator's help.

Commands import what they need when they run: `aiapp crd` needs no Kubernetes client.
"""

# ruff: noqa: PLC0415  # what only one command needs is loaded by that command

import asyncio
import sys
from typing import TextIO

import click

from aiapp_operator.api.names import FIELD_MANAGER

WRONG_INPUT = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aiapp")
def main() -> None:
    """Look into AIApps and their operator."""


@main.command()
@click.option("-f", "--file", "files", multiple=True, required=True, type=click.File(), help="AIApps; - is stdin.")
@click.option("-n", "--namespace", default="default", show_default=True, help="For AIApps that name none.")
def render(files: tuple[TextIO, ...], namespace: str) -> None:
    """Print the exact children of AIApps as YAML, without a cluster.

    Settings of the operator are taken from the environment, as the operator does.
    """
    from aiapp_operator.cli.render import Unusable, rendered

    try:
        for file in files:
            click.echo(rendered(file.read(), file.name, namespace), nl=False)
    except Unusable as error:
        click.echo(str(error), err=True)
        sys.exit(WRONG_INPUT)


@main.command()
def crd() -> None:
    """Print the CustomResourceDefinition."""
    from aiapp_operator.cli.render import crd_text

    click.echo(crd_text(), nl=False)


@main.command()
@click.argument("name", required=False)
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("-A", "--all-namespaces", is_flag=True, help="AIApps of all namespaces.")
def status(name: str | None, namespace: str, all_namespaces: bool) -> None:
    """Show the conditions of AIApps, causes first. Exit code 1 when one is not Ready."""
    from aiapp_operator.cli.status import show

    sys.exit(asyncio.run(show(name, None if all_namespaces else namespace)))


_wait = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is done.")
_timeout = click.option("--timeout", default=3600, show_default=True, help="Seconds to wait at most.")


@main.command()
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True)
@_wait
@_timeout
def backup(name: str, namespace: str, wait: bool, timeout: int) -> None:
    """Back up the database of an AIApp now. Exit code 1 when that fails."""
    from aiapp_operator.cli.backups import BACKUP, ask

    sys.exit(asyncio.run(ask(BACKUP, name, namespace, timeout if wait else 0)))


@main.command("restore-check")
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True)
@_wait
@_timeout
def restore_check(name: str, namespace: str, wait: bool, timeout: int) -> None:
    """Prove the newest backup of an AIApp now, by restoring it beside its database. Exit code 1 when that fails."""
    from aiapp_operator.cli.backups import RESTORE_CHECK, ask

    sys.exit(asyncio.run(ask(RESTORE_CHECK, name, namespace, timeout if wait else 0)))


@main.command()
@click.option("-n", "--namespace", default="aiapp-system", show_default=True, help="Where the operator is installed.")
@click.option("--lease", default=FIELD_MANAGER, show_default=True, help="Name of its Lease.")
def doctor(namespace: str, lease: str) -> None:
    """Check what AIApps need of a cluster, and say what to do. Exit code 1 when something is missing."""
    from aiapp_operator.cli.doctor import examine

    sys.exit(asyncio.run(examine(namespace, lease)))
