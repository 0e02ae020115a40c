"""A server as a child of the test: its own user, its own folder, ended with the tests."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.stack.wait import wait_until

START_SECONDS = 30
STOP_SECONDS = 10


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unprivileged(user: str) -> tuple[int, int] | None:
    """uid and gid of the user to run a server as; None where we are not root anyway."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def folder_for(user: str, path: Path) -> Path:
    """A new folder that belongs to the user, reachable by it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    owner = unprivileged(user)
    if owner is not None:
        os.chown(path, *owner)
        # pytest's folders are closed to everybody else.
        for parent in path.parents:
            with suppress(PermissionError):
                if parent.is_relative_to("/tmp") and parent != Path("/tmp"):  # noqa: S108  # where tests have their folders
                    parent.chmod(0o755)
    return path


@dataclass
class Server:
    """A process that can be stopped and started again on the same data."""

    command: list[str]
    user: str
    log: Path
    answers: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process, which runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it answers."""
        owner = unprivileged(self.user)
        rights = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command, env={**os.environ, **self.env}, stdout=output, stderr=subprocess.STDOUT, **rights
            )
        wait_until(f"{self.command[0]} answers", self._up, seconds=START_SECONDS, seen=self._tail)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for its end; SIGKILL when it takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _up(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"{self.command[0]} ended with {self._process.returncode}: {self._tail()}")
        return self.answers()

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run it while the context lasts."""
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGINT)
