"""`make bench-gateway`: what the API costs between a client and a fixed upstream, with everything on.

On: API keys, rate limit, budget (both in a real Redis), metrics, cost, access log. The service has one core for itself;
upstream, Redis and load generator share the other one. Ratios are to a bare relay, measured in turn with it.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.bench.report import cpu_seconds, tell
from tests.bench.serving import CACHED, CORES, KEY, RELAY, SERVICE, UPSTREAM, Bench, bench

RUNS = 3
SECONDS = 4
CONCURRENCY = 32
LIVE_STREAMS = 128
MOST_CONNECTIONS = 512
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


def _throughput(load: Path, running: Bench) -> None:
    ours, relays, cpu, shares, tails = [], [], [], [], []
    for _ in range(RUNS):
        before = cpu_seconds(running.service)
        found = _load(load, SERVICE, "chat", CONCURRENCY)
        cpu.append(1e6 * (cpu_seconds(running.service) - before) / found["requests"])
        bare = _load(load, RELAY, "chat", CONCURRENCY)
        ours.append(found["per_second"])
        relays.append(bare["per_second"])
        shares.append(found["per_second"] / bare["per_second"])
        tails.append(found["p99_ms"])
    tell("gateway_throughput", ours, "requests/s", f"{AT_ONCE}; aim: 3000")
    tell("gateway_bare_relay_throughput", relays, "requests/s", AT_ONCE)
    tell("gateway_throughput_ratio", shares, "of the bare relay", AT_ONCE)
    tell("gateway_cpu", cpu, "us/request", f"{AT_ONCE}; aim: 300")
    tell("gateway_p99", tails, "ms", AT_ONCE)


def _latency(load: Path) -> None:
    added = [
        _load(load, SERVICE, "chat", 1)["p50_ms"] - _load(load, UPSTREAM, "chat", 1)["p50_ms"] for _ in range(RUNS)
    ]
    tell("gateway_added_p50", added, "ms", "the same request without the service, one at a time; aim: 0.7")


def _streams(load: Path, running: Bench) -> None:
    events, shares, cpu = [], [], []
    for _ in range(RUNS):
        before = cpu_seconds(running.service)
        found = _load(load, SERVICE, "chat", CONCURRENCY, stream=True)
        cpu.append(1e6 * (cpu_seconds(running.service) - before) / found["requests"])
        events.append(found["events_per_second"])
        shares.append(
            found["events_per_second"] / _load(load, RELAY, "chat", CONCURRENCY, stream=True)["events_per_second"]
        )
    tell("gateway_stream_events", events, "events/s", f"{AT_ONCE}; aim: 100000")
    tell("gateway_stream_events_ratio", shares, "of the bare relay", AT_ONCE)
    tell("gateway_stream_cpu", cpu, "us/request", AT_ONCE)
    middle, tail = [], []
    for _ in range(RUNS):
        through, direct = (_load(load, port, "paced", LIVE_STREAMS, stream=True) for port in (SERVICE, UPSTREAM))
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
    load: Path, port: int, model: str, concurrency: int, *, stream: bool = False, may_fail: bool = False
) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    body = json.dumps({"model": model, "messages": MESSAGES, "stream": stream}, separators=(",", ":"))
    command = ["taskset", "-c", str(CORES[0]), str(load), "run", url, body, str(concurrency), str(SECONDS)]
    done = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "LOAD_KEY": KEY})
    found: dict[str, float] = json.loads(done.stdout)
    if found["failed"] and not may_fail:
        raise RuntimeError(f"{found['failed']:.0f} requests to {url} failed")
    return found


if __name__ == "__main__":
    main()
