"""Containers of a database without a container engine: the built command and environment in a PID namespace.

The command is process 1 there, as in a container, and runs as an unprivileged user. Only directories
and ports differ from what a pod gets.
"""

import os
import pwd
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from aiapp_operator.api.manifest import Manifest
from tests.stack.wait import wait_until

USER = "nobody"


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Container:
    """One container of a pod. `root` stands for its file system: data, run and secret are below it."""

    manifest: Manifest
    root: Path
    environment: dict[str, str]
    arguments: tuple[str, ...] = ()
    shell: tuple[str, ...] = ("/bin/sh",)
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for name in ("data", "run", "secret"):
            (self.root / name).mkdir(exist_ok=True)
        for name in ("data", "run"):
            os.chown(self.root / name, pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_gid)
        # pytest's folders are closed to other users.
        for folder in (self.root, *self.root.parents[:3]):
            folder.chmod(folder.stat().st_mode | 0o011)

    def set_password(self, password: str | None, folder: str = "", user: str = "default") -> None:
        """What kubelet does when a Secret appears, changes or goes; it is mounted in `folder` of the secrets."""
        path = self.root / "secret" / folder
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
        for name, value in (("username", user), ("password", password)):
            if password is None:
                (path / name).unlink(missing_ok=True)
            else:
                (path / name).write_text(str(value), encoding="utf-8")
                (path / name).chmod(0o644)

    def start(self) -> None:
        """Start it; its output goes to the file `log`."""
        with (self.root / "log").open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [*_isolated(), *self._command(self.manifest["command"]), *self.arguments],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )

    def log(self) -> str:
        """Everything it printed since it was started."""
        return (self.root / "log").read_text(encoding="utf-8")

    def probe(self, name: str) -> int:
        """Exit code of one of its probes."""
        command = self._command(self.manifest[name]["exec"]["command"])
        done = subprocess.run(
            [*_unprivileged(), *command], env=self._environment(), capture_output=True, check=False, timeout=30
        )
        return done.returncode

    def wait_ready(self) -> None:
        """Wait until startup and readiness probe say yes."""
        for name in ("startupProbe", "readinessProbe"):
            wait_until(
                f"{name} passes", lambda name=name: self._alive() and self.probe(name) == 0, seconds=60, seen=self.log
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to process 1 of the container."""
        os.kill(self._init(), number)

    def kill(self) -> None:
        """SIGKILL all of it, as a node that loses power: with process 1 the whole PID namespace ends."""
        if self._process is None or self._process.poll() is not None:
            return
        for pid in self._children():
            os.kill(pid, signal.SIGKILL)
        # Reports the end of process 1 only when its whole namespace is gone.
        self._process.wait(timeout=30)

    def wait_end(self, seconds: float = 30) -> int:
        """Exit code once it ended by itself."""
        if self._process is None:
            raise RuntimeError("never started")
        return self._process.wait(timeout=seconds)

    def command_lines(self) -> str:
        """What every process of the node can see of its arguments."""
        return (Path("/proc") / str(self._init()) / "cmdline").read_text(encoding="utf-8")

    def _alive(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"it ended with {self._process.returncode}: {self.log()}")
        return True

    def _children(self) -> list[int]:
        if self._process is None:
            return []
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in path.read_text(encoding="ascii").split()] if path.exists() else []

    def _init(self) -> int:
        return wait_until("process 1 runs", lambda: (self._children() or [0])[0], seconds=10)

    def _command(self, command: list[str]) -> list[str]:
        return [*self.shell, *command[1:]] if command[0] == "/bin/sh" else command

    def _environment(self) -> dict[str, str]:
        built = {entry["name"]: entry["value"] for entry in self.manifest["env"]}
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", **built, **self.environment}


def _unprivileged() -> list[str]:
    user = pwd.getpwnam(USER)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _isolated() -> list[str]:
    # Each process dies with its parent, so that nothing is left of a test run that is killed.
    dies = ["--pdeathsig", "KILL"]
    setpriv, *rest = _unprivileged()
    return ["setpriv", *dies, "unshare", "--pid", "--fork", "--mount-proc", setpriv, *dies, *rest]
