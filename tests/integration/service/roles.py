"""The service as processes, to be killed and started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from tests.integration.servers.processes import free_port
from tests.integration.service.waiting import until


class Role:
    """`aiapp-service api` or `worker` as a process."""

    def __init__(self, file: Path, *arguments: str) -> None:
        self.port = free_port()
        self._command = [sys.executable, "-m", "aiapp_service", *arguments, "--config", str(file)]
        self._log = file.with_name(f"{arguments[0]}.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def said(self) -> str:
        """Its log."""
        return self._log.read_text()

    async def start(self) -> None:
        """Start, and wait until it answers."""
        with self._log.open("ab") as log:
            command = [*self._command, "--port", str(self.port)]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ))  # noqa: ASYNC220  # started
        async with aiohttp.ClientSession() as http:

            async def live() -> bool:
                try:
                    async with http.get(f"http://127.0.0.1:{self.port}/livez") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until("the process answers", live, seconds=120)

    def stop(self) -> int:
        """Tell it to stop, and wait for its end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)

    def kill(self) -> None:
        """End it without a warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def killing(*roles: Role) -> Iterator[None]:
    """None of `roles` outlives the context."""
    try:
        yield
    finally:
        for role in roles:
            role.kill()
