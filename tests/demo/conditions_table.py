"""The AIApp's conditions as a live table, or as plain lines where nobody looks at a terminal."""

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.stack.aiapp import AppHandle
from tests.stack.kube import Manifest
from tests.stack.wait import POLL_SECONDS, DeadlineExceeded

_COLOUR = {"True": "green", "False": "yellow", "Unknown": "dim"}


def watch_until_ready(app: AppHandle, console: Console, *, seconds: float) -> float:
    """Show the conditions until Ready=True; gives the seconds it took.

    Raises:
        DeadlineExceeded: it did not become Ready; the message says what the AIApp and its pods say.
    """
    started = time.monotonic()
    shown: dict[str, str] = {}
    with Live(console=console, refresh_per_second=4, transient=False, auto_refresh=console.is_terminal) as live:
        while True:
            conditions = app.conditions()
            elapsed = time.monotonic() - started
            if console.is_terminal:
                live.update(_table(app, conditions, elapsed))
            else:
                _print_changes(console, conditions, shown, elapsed)
            if conditions.get("Ready", {}).get("status") == "True" and "Reconciling" not in conditions:
                return elapsed
            if elapsed > seconds:
                raise DeadlineExceeded(f"AIApp {app.name} was not Ready after {seconds:g} s{app.describe()}")
            time.sleep(POLL_SECONDS)


def _table(app: AppHandle, conditions: dict[str, Manifest], elapsed: float) -> Table:
    table = Table(title=f"aiapp/{app.name} after {elapsed:.0f} s", title_justify="left")
    for column in ("Condition", "Status", "Reason", "Message"):
        table.add_column(column, overflow="fold")
    for condition in conditions.values():
        colour = _COLOUR[condition["status"]]
        table.add_row(
            condition["type"], f"[{colour}]{condition['status']}[/]", condition["reason"], condition["message"]
        )
    return table


def _print_changes(console: Console, conditions: dict[str, Manifest], shown: dict[str, str], elapsed: float) -> None:
    for name, condition in conditions.items():
        line = f"{condition['status']:<7} {condition['reason']}: {condition['message']}"
        if shown.get(name) != line:
            shown[name] = line
            console.print(f"  {elapsed:5.0f} s  {name:<16} {line}", markup=False, highlight=False, soft_wrap=True)
