"""`make bench-soak`: half an hour of mixed load with clients that leave at any moment.

Memory has to stay flat after the first tenth of the time; when all is over no request counts as under way, and there
are as many open files and tasks as before. `--minutes` is how long. Exits with 1 where that is not so.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import aiohttp

from aiapp_service.config import RateLimitConfig
from tests.bench.report import resident_mebibytes, tell
from tests.bench.serving import CORES, KEY, TOKENS, UPSTREAM, config_of, running, service
from tests.integration.servers.redis import redis_server
from tests.stack.wait import wait_until

PORT = 18195
CLIENTS = 24
WARM = 0.1  # of the time
LEAVES = 0.15  # of the requests
LONGEST_STAY = 0.3  # seconds until a client that leaves does so
LIMITED = "key-with-a-limit"
MOST_GROWTH_MEBIBYTES = 16.0
# Kind of request -> how often, its model, its key, whether it is streamed, and the statuses it may end with.
_KINDS = {
    "whole": (30, "chat", KEY, False, {200}),
    "streamed": (25, "chat", KEY, True, {200}),
    "paced": (10, "paced", KEY, True, {200}),
    "cached": (25, "chat", KEY, False, {200}),
    "wrong key": (4, "chat", "nobody's", False, {401}),
    "unknown model": (3, "none", KEY, False, {404}),
    "limited": (3, "chat", LIMITED, False, {200, 429}),
}


def main() -> None:
    """Run it, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    seconds = 60 * parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name) / "redis") as redis:
        folder = Path(name)
        (folder / "redis-url").write_text(redis.url, encoding="utf-8")
        keys = folder / "keys"
        keys.mkdir()
        (keys / "bench").write_text(KEY, encoding="utf-8")
        (keys / "limited").write_text(json.dumps({"key": LIMITED, "requestsPerMinute": 60}), encoding="utf-8")
        config = config_of(folder, cached=True)
        config = config.model_copy(update={"rate_limit": RateLimitConfig(concurrent_requests=10_000)})
        load = folder / "load"
        subprocess.run(["go", "build", "-o", load, "."], cwd=Path(__file__).parent / "load", check=True)
        upstream = [str(load), "upstream", f"127.0.0.1:{UPSTREAM}", str(TOKENS)]
        os.environ["WATCHED_TASKS"] = str(folder / "tasks")
        os.sched_setaffinity(0, {CORES[0]})
        with (
            running(upstream, CORES[0], f"http://127.0.0.1:{UPSTREAM}/v1/models", folder),
            service(config, PORT, folder, module="tests.bench.watched") as pid,
        ):
            sys.exit(not asyncio.run(_soak(pid, seconds, folder / "tasks")))


async def _soak(pid: int, seconds: float, tasks: Path) -> bool:
    await _load(3.0, Counter(), Counter())
    _quiet()
    before = _open_files(pid), _tasks(pid, tasks)
    memory = [(0.0, resident_mebibytes(pid))]
    done: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    sampling = asyncio.create_task(_sample(pid, seconds / 20, memory))
    await _load(seconds, done, wrong)
    sampling.cancel()
    _quiet()
    after = _open_files(pid), _tasks(pid, tasks)
    memory.append((seconds, resident_mebibytes(pid)))
    warm = next(mebibytes for at, mebibytes in memory if at >= WARM * seconds)
    grown = memory[-1][1] - warm
    tell("soak_requests", [sum(done.values())], "requests", json.dumps(done))
    tell("soak_wrong_answers", [sum(wrong.values())], "requests", f"aim: 0; {json.dumps(wrong)}")
    tell("soak_memory_at_start", [memory[0][1]], "MiB", "after three seconds of the same load")
    tell("soak_memory_warm", [warm], "MiB", f"after {100 * WARM:.0f} % of the time")
    tell("soak_memory_at_end", [memory[-1][1]], "MiB")
    tell("soak_memory_growth", [grown], "MiB", f"since it was warm; at most {MOST_GROWTH_MEBIBYTES:.0f}")
    tell("soak_requests_under_way", [_under_way()], "requests", "after the load; aim: 0")
    tell("soak_open_files_growth", [after[0] - before[0]], "files", f"of {before[0]}; aim: not above 0")
    tell("soak_tasks_growth", [after[1] - before[1]], "tasks", f"of {before[1]}; aim: not above 0")
    flat = grown <= MOST_GROWTH_MEBIBYTES and _under_way() == 0
    return flat and after[0] <= before[0] and after[1] <= before[1] and not wrong


async def _load(seconds: float, done: Counter[str], wrong: Counter[str]) -> None:
    until = time.monotonic() + seconds
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{PORT}", connector=connector) as session:
        clients = [_client(session, random.Random(number), until, done, wrong) for number in range(CLIENTS)]
        await asyncio.gather(*clients)


async def _client(
    session: aiohttp.ClientSession, rng: random.Random, until: float, done: Counter[str], wrong: Counter[str]
) -> None:
    kinds, weights = list(_KINDS), [kind[0] for kind in _KINDS.values()]
    while time.monotonic() < until:
        kind = rng.choices(kinds, weights)[0]
        asking = asyncio.create_task(_ask(session, kind, rng.getrandbits(64)))
        stay = rng.uniform(0, LONGEST_STAY) if rng.random() < LEAVES else None
        ended, _ = await asyncio.wait([asking], timeout=stay)
        if not ended:
            # Closes the connection, in whatever phase the request is.
            asking.cancel()
            await asyncio.wait([asking])
            done["left"] += 1
            continue
        error = asking.exception()
        said = type(error).__name__ if error is not None else asking.result()
        done[kind] += 1
        if said:
            wrong[f"{kind}: {said}"] += 1


async def _ask(session: aiohttp.ClientSession, kind: str, number: int) -> str:
    """What was wrong with the answer; empty: nothing."""
    _, model, key, streamed, statuses = _KINDS[kind]
    words = "always the same" if kind == "cached" else f"something new, {number}"
    body = {"model": model, "stream": streamed, "messages": [{"role": "user", "content": words}]}
    headers = {"Authorization": f"Bearer {key}"}
    async with session.post("/v1/chat/completions", json=body, headers=headers) as answer:
        content = await answer.read()
    if answer.status not in statuses:
        return str(answer.status)
    if streamed and not content.endswith(b"data: [DONE]\n\n"):
        return "the stream is not complete"
    return ""


async def _sample(pid: int, every: float, memory: list[tuple[float, float]]) -> None:
    started = time.monotonic()
    while True:
        await asyncio.sleep(every)
        memory.append((time.monotonic() - started, resident_mebibytes(pid)))


def _quiet() -> None:
    """Wait until nothing is under way, and connections of clients that are gone are closed."""
    wait_until("nothing is under way", lambda: _under_way() == 0, seconds=30, pause=0.2)
    time.sleep(2)


def _under_way() -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r"^ai_active_requests (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else -1.0


def _open_files(pid: int) -> int:
    """Without connections to backends, which are kept for the next request."""
    kept = _connections_to(UPSTREAM)
    return len(os.listdir(f"/proc/{pid}/fd")) - kept  # noqa: PTH208  # names, not paths


def _connections_to(port: int) -> int:
    lines = Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
    return sum(line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


def _tasks(pid: int, file: Path) -> int:
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    wait_until(
        "the service tells its tasks", lambda: file.exists() and bool(file.read_text(encoding="utf-8")), seconds=30
    )
    return int(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
