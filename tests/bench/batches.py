"""`python -m tests.bench.batches`: a batch of 10,000 lines against the same lines sent to the API one by one.

API and worker have a core each in turn: the same one. Upstream, stores and the client that sends lines share the other.
Keys, metrics, cost and the ledger are on in both. The batch counts from its creation to its end, with validation and
the writing of its output.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import aiohttp
from openai import AsyncOpenAI

from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    InferenceConfig,
    ModelConfig,
    PriceConfig,
    RedisConfig,
    ServiceConfig,
    WorkerConfig,
    dump,
)
from aiapp_service.db.migrate import migrate
from tests.bench.report import cpu_seconds, peak_mebibytes, resident_mebibytes, tell
from tests.bench.serving import CORES, KEY, running
from tests.integration.servers.objects import object_server
from tests.integration.servers.postgres import postgres
from tests.integration.servers.processes import free_port
from tests.integration.servers.redis import redis_server
from tests.integration.service.ledgers import new_books

LINES = 10_000
AT_ONCE = 32
RUNS = 3
WORDS = "Say something fixed, as long as it is short, and do not forget the number. " * 4


def main() -> None:
    """Build the upstream, run everything, print the results."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        load = folder / "load"
        subprocess.run(["go", "build", "-o", load, "."], cwd=Path(__file__).parent / "load", check=True)
        redis = stack.enter_context(redis_server(folder / "redis"))
        objects = stack.enter_context(object_server(folder / "objects"))
        database = stack.enter_context(postgres(folder / "postgres"))
        books = new_books(database, "bench", folder)
        assert migrate(books.config.url_file) == 0
        (folder / "redis-url").write_text(redis.url)
        (folder / "keys").mkdir()
        (folder / "keys" / "bench").write_text(KEY)
        price = PriceConfig.model_validate({"inputPer1M": "0.15", "outputPer1M": "0.60"})
        upstream_port, port, probes = free_port(), free_port(), free_port()
        config = ServiceConfig(
            auth=AuthConfig(api_keys_dir=folder / "keys"),
            inference=(
                InferenceConfig.model_validate({"name": "fixed", "baseURL": f"http://127.0.0.1:{upstream_port}/v1"}),
            ),
            models=(
                ModelConfig(name="chat", backends=(BackendConfig(inference="fixed", model="fixed", price=price),)),
            ),
            redis=RedisConfig(url_file=folder / "redis-url"),
            database=books.config,
            object_store=objects.config,
            workers=(WorkerConfig(name="w", queues=("batches",)),),
        )
        file = folder / "config.yaml"
        file.write_text(dump(config))
        upstream = [str(load), "upstream", f"127.0.0.1:{upstream_port}", "5"]
        stack.enter_context(running(upstream, CORES[0], f"http://127.0.0.1:{upstream_port}/v1/models", folder))
        role = [sys.executable, "-m", "aiapp_service"]
        api = [*role, "api", "--config", str(file), "--port", str(port)]
        api_pid = stack.enter_context(running(api, CORES[-1], f"http://127.0.0.1:{port}/livez", folder))
        worker = [*role, "worker", "--name", "w", "--config", str(file), "--port", str(probes)]
        pid = stack.enter_context(running(worker, CORES[-1], f"http://127.0.0.1:{probes}/livez", folder))
        asyncio.run(_measure(f"http://127.0.0.1:{port}/v1", api_pid, pid))


async def _measure(url: str, api: int, worker: int) -> None:
    lines = [
        {"model": "chat", "messages": [{"role": "user", "content": f"{WORDS}{number}"}]} for number in range(LINES)
    ]
    raw, batches, shares, cpu, api_cpu, peaks = [], [], [], [], [], []
    resident = resident_mebibytes(worker)
    async with AsyncOpenAI(base_url=url, api_key=KEY) as sdk:
        # The first one loads what a worker loads with its first batch.
        await _batch(sdk, lines[:200])
        warm = resident_mebibytes(worker)
        for _ in range(RUNS):
            before = cpu_seconds(api)
            raw.append(await _raw(url, lines))
            api_cpu.append(1e6 * (cpu_seconds(api) - before) / LINES)
            before = cpu_seconds(worker)
            batches.append(await _batch(sdk, lines))
            cpu.append(1e6 * (cpu_seconds(worker) - before) / LINES)
            shares.append(100 * (batches[-1] / raw[-1] - 1))
            peaks.append(peak_mebibytes(worker))
            sys.stderr.write(f"raw {raw[-1]:.2f} s, batch {batches[-1]:.2f} s, peak {peaks[-1]:.1f} MiB\n")
    tell("batch_raw_calls", [LINES / seconds for seconds in raw], "lines/s", f"{AT_ONCE} at once, to the API")
    tell("batch_lines", [LINES / seconds for seconds in batches], "lines/s", "from creation to output file")
    tell("batch_overhead", shares, "%", "over the raw calls; aim: 20 at most")
    tell("batch_cpu", cpu, "us/line", "of the worker")
    tell("batch_raw_cpu", api_cpu, "us/line", "of the API for the raw calls")
    tell("batch_idle_memory", [resident], "MiB", "of the worker before its first batch")
    tell(
        "batch_memory_growth", [peaks[-1] - peaks[0]], "MiB", f"peak after {RUNS} batches, over that after one; aim: 0"
    )
    tell("batch_memory", [peaks[-1] - warm], "MiB", f"peak with {LINES} lines, over that after 200")


async def _raw(url: str, lines: list[dict[str, object]]) -> float:
    waiting = iter(lines)

    async def send(http: aiohttp.ClientSession) -> None:
        for line in waiting:
            async with http.post(f"{url}/chat/completions", json=line) as answer:
                assert answer.status == 200
                await answer.read()

    begun = time.monotonic()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        await asyncio.gather(*(send(http) for _ in range(AT_ONCE)))
    return time.monotonic() - begun


async def _batch(sdk: AsyncOpenAI, lines: list[dict[str, object]]) -> float:
    text = "\n".join(
        json.dumps({"custom_id": f"line-{n}", "method": "POST", "url": "/v1/chat/completions", "body": line})
        for n, line in enumerate(lines)
    )
    file = await sdk.files.create(file=("lines.jsonl", text.encode()), purpose="batch")
    begun = time.monotonic()
    batch = await sdk.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    while batch.status not in ("completed", "failed"):
        await asyncio.sleep(0.05)
        batch = await sdk.batches.retrieve(batch.id)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == len(lines), batch
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
