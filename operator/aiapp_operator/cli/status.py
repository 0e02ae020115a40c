"""AIApps and why they are as they are."""

import sys
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.cli.cluster import connected
from aiapp_operator.kube.api_errors import ApiError, NotFound

_COLOUR = {"True": "green", "False": "red", "Unknown": "yellow"}
_GOOD_WHEN_FALSE = frozenset({"Reconciling", "Stalled", "Suspended"})


async def show(name: str | None, namespace: str | None) -> int:
    """Print the conditions of one AIApp, or of all of a namespace, or of all; 1 when one is not Ready."""
    try:
        async with connected() as client:
            if name is not None:
                apps = [await client.get("AIApp", namespace or "default", name)]
            else:
                apps = (await client.list("AIApp", namespace, "")).items
    except NotFound:
        sys.stderr.write(f"there is no AIApp {namespace}/{name}, or the CRD is not installed\n")
        return 1
    except ApiError as error:
        sys.stderr.write(f"{error.reason}: {error.message}\n")
        return 1
    console = Console(highlight=False)
    for app in apps:
        console.print(_table(app))
    if not apps:
        console.print(f"no AIApps in {namespace or 'any namespace'}")
    return 0 if all(_is_ready(app) for app in apps) else 1


def _conditions(app: Manifest) -> list[Manifest]:
    return list((app.get("status") or {}).get("conditions") or ())


def _is_ready(app: Manifest) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in _conditions(app))


def _table(app: Manifest) -> Table:
    meta = app["metadata"]
    table = Table(title=f"{meta['namespace']}/{meta['name']}", title_justify="left", box=None, pad_edge=False)
    for column in ("Condition", "Status", "Reason", "Message"):
        table.add_column(column, overflow="fold")
    for row in _rows(app):
        table.add_row(*row)
    return table


def _rows(app: Manifest) -> Iterator[tuple[str, str, str, str]]:
    generation = app["metadata"].get("generation")
    for condition in _conditions(app):
        status = condition["status"]
        good = status != "True" if condition["type"] in _GOOD_WHEN_FALSE else status == "True"
        colour = "green" if good else _COLOUR.get(status, "red") if status != "True" else "yellow"
        message = condition.get("message", "")
        if condition.get("observedGeneration") != generation:
            message = f"(of an older spec) {message}"
        yield condition["type"], f"[{colour}]{status}[/]", condition["reason"], message
