"""`python -m tests.runner PATH...`: pytest, with what the tests need from the machine put in place first.

Integration tests run databases of the distribution; clusters build what they need themselves.
Whatever a killed run left behind is removed before the first test and after the last one.

Tests without a cluster have servers of their own, so they share the processors; those with a cluster share it, one
after the other.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from tests.cluster import debian
from tests.cluster.local import clusters_of_this_clone, remove_orphans
from tests.cluster.steps import CommandFailed

NEEDS_SERVERS = ("tests/integration",)
WITHOUT_CLUSTER = ("tests/unit", "tests/integration/service")
# Made by `make demo`, for people to look at: tests leave it alone.
KEPT = frozenset({"demo"})
# By file: a server that a file starts is started once.
_SHARED = ("-n", "logical", "--maxprocesses", "4", "--dist", "loadfile")
_NOTHING_COLLECTED = 5


def main(arguments: list[str]) -> int:
    """Run pytest with `arguments`; gives its exit code."""
    console = Console(highlight=False, width=160)
    started = time.monotonic()
    paths = [argument for argument in arguments if Path(argument.partition("::")[0]).exists()]
    options = [argument for argument in arguments if argument not in paths]
    try:
        if any(path.startswith(NEEDS_SERVERS) for path in paths):
            debian.ensure(debian.SERVER_PACKAGES, console)
        _clean(console)
        shared, alone = parts(paths)
        codes = [_pytest([*shared, *_SHARED, *options])] if shared else []
        codes += [_pytest([*alone, *options])] if alone or not shared else []
        code = next((code for code in codes if code not in {0, _NOTHING_COLLECTED}), min(codes))
        if code == 0 and "AIAPP_KEEP_CLUSTERS" not in os.environ:
            _clean(console)
    except (CommandFailed, debian.MissingPackages) as error:
        console.print(f"FAILED: {error}", markup=False)
        return 2
    console.print(f"{' '.join(paths)}: {time.monotonic() - started:.0f} s, exit code {code}", markup=False)
    return code


def parts(paths: list[str]) -> tuple[list[str], list[str]]:
    """`paths` that need no cluster, and those that do; a folder with both kinds stands for the folders in it."""
    shared: list[str] = []
    alone: list[str] = []
    for path in paths:
        if any(inner.startswith(f"{path.rstrip('/')}/") for inner in WITHOUT_CLUSTER):
            inside = sorted(str(folder.parent) for folder in Path(path).glob("*/__init__.py"))
            for part, found in zip((shared, alone), parts(inside), strict=True):
                part.extend(found)
        elif path.startswith(WITHOUT_CLUSTER):
            shared.append(path)
        else:
            alone.append(path)
    return shared, alone


def _pytest(arguments: list[str]) -> int:
    # A process of its own: pytest wants to be the first to import what it rewrites.
    return subprocess.run([sys.executable, "-m", "pytest", "--durations=15", *arguments], check=False).returncode


def _clean(console: Console) -> None:
    if os.geteuid() != 0:
        return
    remove_orphans(console)
    for cluster in clusters_of_this_clone():
        if cluster.name not in KEPT:
            cluster.down(console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
