"""`make bench-gateway`: what the API costs between a client and a fixed upstream, with everything on.

On: API keys, rate limit, budget (both in a real Redis), metrics, cost, access log. The service has one core for itself;
upstream, Redis and load generator share the other one. Ratios are to a bare relay, measured in turn with it. Where the
other core is busy all the time it is the bottleneck: then CPU time per request says what the service costs, and
requests per second do not.
"""

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import busy_seconds, cpu_seconds, tell
from tests.bench.serving import CACHED, CORES, KEY, RELAY, SERVICE, UPSTREAM, Bench, bench

RUNS = 3
SECONDS = 4
CONCURRENCY = 32
LIVE_STREAMS = 128
MOST_CONNECTIONS = 512
# Milliseconds that a paced stream lasts: those alive are then in all phases of theirs.
SPREAD = 1000
MESSAGES = [{"role": "user", "content": "Say something fixed, as long as it is short."}]
AT_ONCE = f"{CONCURRENCY} at once, one core"


def main() -> None:
    """Build the load generator, run everything, print the results."""
    with tempfile.TemporaryDirectory() as folder:
        load = Path(folder) / "load"
        subprocess.run(["go", "build", "-o", load, "."], cwd=Path(__file__).parent / "load", check=True)
        with bench(load, Path(folder)) as running:
            tell("gateway_ready", [running.ready_seconds], "s", "from the start of the process; aim: 1")
            tell("gateway_idle_memory", [running.idle_mebibytes], "MiB", "aim: 60")
            _throughput(load, running)
            _latency(load)
            _streams(load, running)
            _many(load)
            _cache(load)


@dataclass
class _Measured:
    """One run of the load generator, and what it took of both cores."""

    found: dict[str, float]
    cpu: float  # microseconds of the server a request
    other_core: float  # share of the time for which the other core was busy


def _measured(load: Path, pid: int, port: int, *, stream: bool = False) -> _Measured:
    before, busy, started = cpu_seconds(pid), busy_seconds(CORES[0]), time.monotonic()
    found = _load(load, port, "chat", CONCURRENCY, stream=stream)
    share = (busy_seconds(CORES[0]) - busy) / (time.monotonic() - started)
    return _Measured(found, 1e6 * (cpu_seconds(pid) - before) / found["requests"], share)


def _compared(load: Path, running: Bench, *, stream: bool = False) -> tuple[list[_Measured], list[_Measured]]:
    """The service and the bare relay, in turn."""
    ours, relays = [], []
    for _ in range(RUNS):
        ours.append(_measured(load, running.service, SERVICE, stream=stream))
        relays.append(_measured(load, running.relay, RELAY, stream=stream))
    return ours, relays


def _tell_cpu(name: str, ours: list[_Measured], relays: list[_Measured], aim: str) -> None:
    tell(name, [run.cpu for run in ours], "us/request", f"{AT_ONCE}{aim}")
    tell(f"{name}_of_bare_relay", [run.cpu for run in relays], "us/request", AT_ONCE)
    ratios = [our.cpu / bare.cpu for our, bare in zip(ours, relays, strict=True)]
    tell(f"{name}_ratio", ratios, "times the bare relay", AT_ONCE)
    tell(f"{name}_other_core", [run.other_core for run in ours], "of the time busy", "1: it is the bottleneck")


def _throughput(load: Path, running: Bench) -> None:
    ours, relays = _compared(load, running)
    pairs = list(zip(ours, relays, strict=True))
    tell("gateway_throughput", [run.found["per_second"] for run in ours], "requests/s", f"{AT_ONCE}; aim: 3000")
    tell("gateway_bare_relay_throughput", [run.found["per_second"] for run in relays], "requests/s", AT_ONCE)
    shares = [our.found["per_second"] / bare.found["per_second"] for our, bare in pairs]
    tell("gateway_throughput_ratio", shares, "of the bare relay", AT_ONCE)
    _tell_cpu("gateway_cpu", ours, relays, "; aim: 300")
    tell("gateway_p99", [run.found["p99_ms"] for run in ours], "ms", AT_ONCE)


def _latency(load: Path) -> None:
    added = [
        _load(load, SERVICE, "chat", 1)["p50_ms"] - _load(load, UPSTREAM, "chat", 1)["p50_ms"] for _ in range(RUNS)
    ]
    tell("gateway_added_p50", added, "ms", "the same request without the service, one at a time; aim: 0.7")


def _streams(load: Path, running: Bench) -> None:
    ours, relays = _compared(load, running, stream=True)
    pairs = list(zip(ours, relays, strict=True))
    tell("gateway_stream_events", [r.found["events_per_second"] for r in ours], "events/s", f"{AT_ONCE}; aim: 100000")
    shares = [our.found["events_per_second"] / bare.found["events_per_second"] for our, bare in pairs]
    tell("gateway_stream_events_ratio", shares, "of the bare relay", AT_ONCE)
    _tell_cpu("gateway_stream_cpu", ours, relays, "")
    middle, tail = [], []
    for _ in range(RUNS):
        through, direct = (
            _load(load, port, "paced", LIVE_STREAMS, stream=True, spread=SPREAD) for port in (SERVICE, UPSTREAM)
        )
        middle.append(through["first_p50_ms"] - direct["first_p50_ms"])
        tail.append(through["first_p99_ms"] - direct["first_p99_ms"])
    live = f"the same without the service, {LIVE_STREAMS} paced streams alive"
    tell("gateway_added_first_token_p50", middle, "ms", f"{live}; aim: 2")
    tell("gateway_added_first_token_p99", tail, "ms", f"{live}; aim: 15")


def _many(load: Path) -> None:
    found = _load(load, SERVICE, "chat", MOST_CONNECTIONS, may_fail=True)
    tell("gateway_failures_at_512", [found["failed"]], "requests", f"of {found['requests']:.0f}; aim: 0")


def _cache(load: Path) -> None:
    hits = [_load(load, CACHED, "chat", 1)["p50_ms"] for _ in range(RUNS)]
    tell("gateway_cache_hit_p50", hits, "ms", "one at a time, whole answer; aim: 1")


def _load(
    load: Path,
    port: int,
    model: str,
    concurrency: int,
    *,
    stream: bool = False,
    may_fail: bool = False,
    spread: int = 0,
) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    body = json.dumps({"model": model, "messages": MESSAGES, "stream": stream}, separators=(",", ":"))
    times = [str(concurrency), str(SECONDS), str(spread)]
    command = ["taskset", "-c", str(CORES[0]), str(load), "run", url, body, *times]
    done = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "LOAD_KEY": KEY})
    found: dict[str, float] = json.loads(done.stdout)
    if found["failed"] and not may_fail:
        raise RuntimeError(f"{found['failed']:.0f} requests to {url} failed")
    return found


if __name__ == "__main__":
    main()
