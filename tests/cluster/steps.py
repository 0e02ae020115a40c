"""Long steps that show life: a line at the start, one every 15 seconds, one at the end with the time taken."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

HEARTBEAT_SECONDS = 15
LOG_LINES = 20


class CommandFailed(RuntimeError):
    """A command failed; the message ends with the last lines of its log and the log's path."""


@contextmanager
def step(console: Console, title: str) -> Iterator[None]:
    """Announce `title`, tell every 15 s that it goes on, and how long it took."""
    started = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            console.print(f"   {title}: {time.monotonic() - started:.0f} s so far", markup=False)

    console.print(f"-- {title}", markup=False)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        console.print(f"   {title}: FAILED after {time.monotonic() - started:.1f} s", markup=False)
        raise
    finally:
        done.set()
        thread.join()
    console.print(f"   {title}: {time.monotonic() - started:.1f} s", markup=False)


def tail(log: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log, indented, with its path."""
    if not log.exists():
        return f"  (no log at {log})"
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return "\n".join([f"  | {line}" for line in text] + [f"  (last lines of {log})"])


def run_logged(
    command: Sequence[str | Path], log: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> None:
    """Run a command with all its output in `log`.

    Raises:
        CommandFailed: it exited with something else than 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise CommandFailed(f"{command[0]} exited with {done.returncode}\n{tail(log)}")


def run(*command: str | Path, check: bool = True, stdin: str | None = None) -> str:
    """Run a short command and give back what it printed.

    Raises:
        CommandFailed: it exited with something else than 0 and `check` is set.
    """
    done = subprocess.run(
        [str(part) for part in command], input=stdin, capture_output=True, text=True, check=False, timeout=300
    )
    if check and done.returncode != 0:
        raise CommandFailed(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
