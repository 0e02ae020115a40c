"""The operator as a process of its own, looking after one namespace."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.stack.wait import wait_until

STOP_SECONDS = 20


@dataclass(frozen=True)
class OperatorProcess:
    """A running operator. Its requests carry `namespace` in their paths, and its name in the audit log."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def wait_working(self) -> None:
        """Wait until it has read everything and works."""
        wait_until("operator works", lambda: self._says("working"), seconds=60, seen=self._tail)

    def wait_killed(self, seconds: float = 120) -> None:
        """Wait for somebody else to kill it."""
        wait_until("operator killed", lambda: self.process.poll() is not None, seconds=seconds, seen=self._tail)
        assert self.process.returncode == -signal.SIGKILL, self._tail()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def _says(self, message: str) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the operator ended with {self.process.returncode}: {self._tail()}")
        return f'"message": "{message}"' in self.log.read_text(encoding="utf-8")

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8")[-4000:]


@contextmanager
def operator(kubeconfig: Path, namespace: str, folder: Path, **settings: str) -> Iterator[OperatorProcess]:
    """Run one until the context ends. `settings` are variables without AIAPP_OPERATOR_."""
    values = {
        "WATCH_NAMESPACES": namespace,
        "LEASE_NAMESPACE": namespace,
        "LEADER_ELECTION": "false",
        "HOST": "127.0.0.1",
        "PROBE_PORT": "0",
        "METRICS_PORT": "0",
        **settings,
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIAPP_OPERATOR_")}
    env |= {f"AIAPP_OPERATOR_{name}": value for name, value in values.items()} | {"KUBECONFIG": str(kubeconfig)}
    number = len(list(folder.glob("operator-*.log")))
    log = folder / f"operator-{number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "aiapp_operator"], env=env, stdout=output, stderr=subprocess.STDOUT
        )
    running = OperatorProcess(process, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
