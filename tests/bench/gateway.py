"""`make bench-gateway`: what the API costs between a client and a fixed upstream.

The service has one core for itself; upstream and load generator share the other one. Latency is what the service
adds to the same request without it, at one request at a time; throughput is at 32.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    InferenceConfig,
    ModelConfig,
    ProviderConfig,
    ProviderKind,
    ServiceConfig,
    dump,
)
from tests.bench.report import cpu_seconds, tell
from tests.stack.wait import wait_until

RUNS = 3
SECONDS = 5
CONCURRENCY = 32
TOKENS = 50
UPSTREAM, SERVICE = 18191, 18192
CORES = sorted(os.sched_getaffinity(0))
MESSAGES = [{"role": "user", "content": "Say something fixed, as long as it is short."}]


def main() -> None:
    """Build the load generator, run everything, print the results."""
    with tempfile.TemporaryDirectory() as folder:
        load = Path(folder) / "load"
        subprocess.run(["go", "build", "-o", load, "."], cwd=Path(__file__).parent / "load", check=True)
        with _upstream(load), _service(Path(folder)) as pid:
            for name, model, stream in (
                ("mock", "mock", False),
                ("relay", "chat", False),
                ("relay_stream", "chat", True),
            ):
                _measure(load, pid, name, model, stream=stream)


def _measure(load: Path, pid: int, name: str, model: str, *, stream: bool) -> None:
    body = json.dumps({"model": model, "messages": MESSAGES, "stream": stream}, separators=(",", ":"))
    through, direct = (f"http://127.0.0.1:{port}/v1/chat/completions" for port in (SERVICE, UPSTREAM))
    many, cpu, added, first = [], [], [], []
    for _ in range(RUNS):
        before = cpu_seconds(pid)
        found = _load(load, through, body, CONCURRENCY)
        cpu.append(1e6 * (cpu_seconds(pid) - before) / found["requests"])
        many.append(found)
        alone, without = _load(load, through, body, 1), _load(load, direct, body, 1)
        added.append(alone["p50_ms"] - without["p50_ms"])
        first.append(alone["first_p50_ms"] - without["first_p50_ms"])
    at_once = f"{CONCURRENCY} at once, one core"
    tell(f"gateway_{name}_throughput", [run["per_second"] for run in many], "requests/s", at_once)
    tell(f"gateway_{name}_cpu", cpu, "us/request", at_once)
    tell(f"gateway_{name}_p99", [run["p99_ms"] for run in many], "ms", at_once)
    tell(f"gateway_{name}_added_p50", added, "ms", "the same request without the service")
    if stream:
        tell(f"gateway_{name}_events", [run["events_per_second"] for run in many], "events/s", at_once)
        tell(f"gateway_{name}_added_first_token", first, "ms", "the same request without the service")


def _load(load: Path, url: str, body: str, concurrency: int) -> dict[str, float]:
    command = ["taskset", "-c", str(CORES[0]), str(load), "run", url, body, str(concurrency), str(SECONDS)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    if found["failed"]:
        raise RuntimeError(f"{found['failed']:.0f} requests to {url} failed")
    return found


@contextmanager
def _upstream(load: Path) -> Iterator[None]:
    command = ["taskset", "-c", str(CORES[0]), str(load), "upstream", f"127.0.0.1:{UPSTREAM}", str(TOKENS)]
    with subprocess.Popen(command) as process:
        try:
            wait_until("upstream answers", lambda: _answers(f"http://127.0.0.1:{UPSTREAM}/v1/models"), seconds=10)
            yield
        finally:
            process.terminate()


@contextmanager
def _service(folder: Path) -> Iterator[int]:
    config = ServiceConfig(
        auth=AuthConfig(anonymous=True),
        providers=(ProviderConfig(name="fake", kind=ProviderKind.MOCK),),
        inference=(InferenceConfig(name="fixed", base_url=f"http://127.0.0.1:{UPSTREAM}/v1"),),
        models=(
            ModelConfig(name="chat", backends=(BackendConfig(inference="fixed", model="fixed"),)),
            ModelConfig(name="mock", backends=(BackendConfig(provider="fake", model="mock"),)),
        ),
    )
    file = folder / "config.yaml"
    file.write_text(dump(config), encoding="utf-8")
    service = [sys.executable, "-m", "aiapp_service", "api", "--config", str(file), "--port", str(SERVICE)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(["taskset", "-c", str(CORES[-1]), *service], stdout=log) as process,
    ):
        try:
            wait_until("service answers", lambda: _answers(f"http://127.0.0.1:{SERVICE}/livez"), seconds=10)
            yield process.pid
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
