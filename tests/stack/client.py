"""Reaching an AIApp's API from this machine, the same way on every kind of cluster: kubectl port-forward."""

import re
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from openai import OpenAI

from tests.stack.kube import Kube
from tests.stack.wait import wait_until

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@contextmanager
def port_forward(kube: Kube, namespace: str, target: str, port: int, *, seconds: float = 30) -> Iterator[str]:
    """The base URL of `target` (svc/NAME, pod/NAME) on a free local port, while the context lasts."""
    command = [str(kube.kubectl_binary), "-n", namespace, "port-forward", "--address=127.0.0.1", target, f":{port}"]
    with subprocess.Popen(
        command, env=kube.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines: deque[str] = deque(maxlen=50)
        # The pipe is read to its end, else a chatty port-forward would block on it.
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        reader.start()

        def local_port() -> str | None:
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended: {''.join(lines)}")
            found = next((m for line in tuple(lines) if (m := _FORWARDING.search(line))), None)
            return found.group(1) if found else None

        try:
            chosen = wait_until(f"port-forward to {target}", local_port, seconds=seconds)
            yield f"http://127.0.0.1:{chosen}"
        finally:
            process.terminate()
            process.wait(timeout=10)
            reader.join(timeout=10)


def sdk(base_url: str, api_key: str = "none", *, retries: int = 0, seconds: float = 120) -> OpenAI:
    """An OpenAI client for the API at `base_url`; without retries, so that tests see every failure."""
    return OpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=retries, timeout=seconds)
