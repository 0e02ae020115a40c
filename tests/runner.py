"""`python -m tests.runner PATH...`: pytest, with what the tests need from the machine put in place first.

Integration tests run databases of the distribution; clusters build what they need themselves.
Whatever a killed run left behind is removed before the first test and after the last one.
"""

import os
import subprocess
import sys
import time

from rich.console import Console

from tests.cluster import debian
from tests.cluster.local import clusters_of_this_clone, remove_orphans
from tests.cluster.steps import CommandFailed

NEEDS_SERVERS = ("tests/integration",)
# Made by `make demo`, for people to look at: tests leave it alone.
KEPT = frozenset({"demo"})


def main(arguments: list[str]) -> int:
    """Run pytest with `arguments`; gives its exit code."""
    console = Console(highlight=False, width=160)
    started = time.monotonic()
    paths = [argument for argument in arguments if not argument.startswith("-")]
    try:
        if any(path.startswith(NEEDS_SERVERS) for path in paths):
            debian.ensure(debian.SERVER_PACKAGES, console)
        _clean(console)
        # A process of its own: pytest wants to be the first to import what it rewrites.
        code = subprocess.run([sys.executable, "-m", "pytest", "--durations=15", *arguments], check=False).returncode
        if code == 0 and "AIAPP_KEEP_CLUSTERS" not in os.environ:
            _clean(console)
    except (CommandFailed, debian.MissingPackages) as error:
        console.print(f"FAILED: {error}", markup=False)
        return 2
    console.print(f"{' '.join(paths)}: {time.monotonic() - started:.0f} s, exit code {code}", markup=False)
    return code


def _clean(console: Console) -> None:
    if os.geteuid() != 0:
        return
    remove_orphans(console)
    for cluster in clusters_of_this_clone():
        if cluster.name not in KEPT:
            cluster.down(console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
