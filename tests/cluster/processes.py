"""Daemons of a cluster: started in sessions of their own, known again by pid and start time.

A pid alone may meanwhile belong to somebody else; a pid with its start time (field 22 of
/proc/PID/stat) cannot.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.gotools import environment_path
from tests.cluster.steps import CommandFailed, tail

STOP_SECONDS = 20
# What is left when the daemons are gone has nothing to finish.
LEFTOVER_SECONDS = 2
_POLL_SECONDS = 0.05


def start_time(pid: int) -> str | None:
    """When the process started, in clock ticks since boot; None when there is no such process, or a zombie only."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


@dataclass(frozen=True)
class Daemon:
    """One long-running program of a cluster."""

    name: str
    state: Path

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.state / "logs" / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.state / "pids" / self.name

    def pid(self) -> int | None:
        """Its pid while it runs; None for a stale or recycled pid."""
        try:
            pid, started = self._pid_file.read_text(encoding="ascii").split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if start_time(int(pid)) == started else None

    def start(self, command: Sequence[str | Path], *, cwd: Path | None = None, netns: str | None = None) -> None:
        """Start it, unless it runs. `netns` is the network namespace to run in.

        nsenter is used rather than `ip netns exec`: that one remounts /sys and so hides the cgroups.
        """
        if self.pid() is not None:
            return
        for folder in (self.log.parent, self._pid_file.parent):
            folder.mkdir(parents=True, exist_ok=True)
        enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [*enter, *map(str, command)],
                cwd=cwd,
                env={**os.environ, "PATH": environment_path()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        scratch = self._pid_file.with_name(f".{self.name}")
        scratch.write_text(f"{process.pid} {start_time(process.pid)}", encoding="ascii")
        scratch.rename(self._pid_file)
        # Popen would warn about a child that outlives it; this one is meant to.
        process.returncode = 0

    def stop(self) -> None:
        """End it: politely, then by force."""
        pid = self.pid()
        if pid is not None:
            _end(pid)
        self._pid_file.unlink(missing_ok=True)

    def require_running(self) -> None:
        """Raise CommandFailed with the end of its log when it does not run."""
        if self.pid() is None:
            raise CommandFailed(f"{self.name} ended\n{tail(self.log)}")


def _end(pid: int) -> None:
    _end_all([pid], STOP_SECONDS)


def _end_all(pids: Sequence[int], seconds: float) -> None:
    """Ask all of them to end, and force those that have not after so many seconds."""
    started = {pid: start_time(pid) for pid in pids}
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, STOP_SECONDS)):
        left = [pid for pid in pids if _lives(pid, started)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while any(_lives(pid, started) for pid in left) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _lives(pid: int, started: dict[int, str | None]) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return started[pid] is not None and start_time(pid) == started[pid]


def end_all_below(state: Path) -> None:
    """End processes that name `state` in their command line: containerd's shims, which nobody else ends."""
    marker = str(state).encode() + b"/"

    def below(entry: Path) -> bool:
        return marker in (entry / "cmdline").read_bytes()

    _end_all(_others(below), LEFTOVER_SECONDS)


def end_all_in_namespace(netns: str) -> None:
    """End processes whose network is that namespace: what remained of a node that was killed."""
    with contextlib.suppress(FileNotFoundError):
        wanted = Path(f"/run/netns/{netns}").stat().st_ino

        def inside(entry: Path) -> bool:
            return (entry / "ns" / "net").stat().st_ino == wanted

        _end_all(_others(inside), LEFTOVER_SECONDS)


def _others(match: Callable[[Path], bool]) -> list[int]:
    """Processes besides this one for which `match` holds, given their folder of /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if match(entry):
                found.append(int(entry.name))
    return found
