"""What a process loads: looked at in a process of its own."""

import subprocess
import sys

import click
from click.testing import CliRunner

from aiapp_service.lean import LaterGroup

LOADED = """
import sys
from aiapp_service import lean
lean.load_redis()
assert "redis.asyncio" in sys.modules
print([name for name in sys.modules if name.startswith("opentelemetry")])
import opentelemetry.sdk.metrics
from opentelemetry.sdk.trace import TracerProvider
from redis.asyncio import Redis
Redis()
"""


def test_redis_comes_without_what_is_not_used_and_traces_are_there_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_other_commands_are_loaded_when_they_are_asked_for() -> None:
    loads = []

    def load() -> list[click.Command]:
        loads.append(1)
        return [click.Command("rare", callback=lambda: click.echo("rarely"))]

    main = LaterGroup("main", load=load)
    main.add_command(click.Command("usual", callback=lambda: click.echo("usually")))
    assert CliRunner().invoke(main, ["usual"]).output == "usually\n"
    assert not loads
    assert CliRunner().invoke(main, ["rare"]).output == "rarely\n"
    assert CliRunner().invoke(main, ["none"]).exit_code != 0
    assert "rare" in CliRunner().invoke(main, ["--help"]).output
    assert len(loads) == 1
