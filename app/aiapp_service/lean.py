"""What a process loads, and what it leaves out until it is asked for: each pod pays for it all its life."""

import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

# The client of Redis loads all of these where it finds them, for metrics that are off unless an application turns
# them on. They take three megabytes.
_UNUSED = ("opentelemetry.metrics", "opentelemetry.sdk.metrics")


def load_redis() -> None:
    """Load the client of Redis as if there were no OpenTelemetry, which can be loaded afterwards all the same."""
    if "redis" in sys.modules:
        return
    hidden = [name for name in _UNUSED if name not in sys.modules]
    # To `import` these are modules that are not there.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is what `import` takes for absent
    try:
        importlib.import_module("redis.asyncio")
    finally:
        for name in hidden:
            del sys.modules[name]


class LaterGroup(click.Group):
    """Commands of its own, and others, which `load` gives when one is asked for that is none of these."""

    def __init__(self, *args: Any, load: Callable[[], Iterable[click.Command]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._load: Callable[[], Iterable[click.Command]] | None = load

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in self.commands:
            self._load_others()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all of them."""
        self._load_others()
        return super().list_commands(ctx)

    def _load_others(self) -> None:
        load, self._load = self._load, None
        for command in load() if load is not None else ():
            self.add_command(command)
