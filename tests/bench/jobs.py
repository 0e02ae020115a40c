"""`make bench-jobs`: adding and doing jobs that do nothing, beside the bare job library in the same run.

One core for this process, the other one for Redis with an append-only file. "Bare" is the library as its own examples
use it, but with the same kind of client: its own connection is four times slower.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import bullmq
from redis.asyncio import Redis

from aiapp_service.config import RedisConfig
from aiapp_service.jobs.consumer import Consumer, Pace
from aiapp_service.jobs.job import Job
from aiapp_service.jobs.queue import JobQueue, NewJob
from aiapp_service.jobs.redis import connect
from tests.bench.report import tell
from tests.integration.servers.redis import redis_server

RUNS = 3
SINGLY = 4_000
IN_BULK = 20_000
DRAINED = 8_000
CONCURRENCY = 20
QUEUE = "embeddings"
BARE = {"removeOnComplete": {"count": 1000}}

Measure = Callable[[Redis, RedisConfig], Awaitable[float]]


def main() -> None:
    """Run all of it, print the results."""
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder) / "redis") as server:
        file = Path(folder) / "url"
        file.write_text(server.url)
        _pin()
        asyncio.run(_all(RedisConfig(url_file=file)))


def _pin() -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:1])


async def _all(config: RedisConfig) -> None:
    await _compared("jobs_enqueue_singly", _enqueue_ours, _enqueue_bare, config, "aim: 4000")
    await _compared("jobs_enqueue_bulk", _bulk_ours, _bulk_bare, config, "")
    await _compared("jobs_drain", _drain_ours, _drain_bare, config, f"{CONCURRENCY} at once; aim: 2500")


async def _compared(name: str, ours: Measure, bare: Measure, config: RedisConfig, note: str) -> None:
    found: list[tuple[float, float]] = []
    for _ in range(RUNS):
        pair = []
        for measure in (ours, bare):
            async with connect(config) as client:
                await client.flushall()
                pair.append(await measure(client, config))
        found.append((pair[0], pair[1]))
    tell(name, [mine for mine, _ in found], "jobs/s", note)
    tell(f"{name}_bare", [other for _, other in found], "jobs/s", "the library alone, the same client")
    tell(f"{name}_ratio", [mine / other for mine, other in found], "of the library alone", note)


async def _rate(number: int, work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return number / (time.perf_counter() - began)


async def _enqueue_ours(client: Redis, _config: RedisConfig) -> float:
    queue = JobQueue(QUEUE, client)
    await queue.enqueue("nothing", {"n": -1})

    async def work() -> None:
        for n in range(SINGLY):
            await queue.enqueue("nothing", {"n": n})

    return await _rate(SINGLY, work())


async def _enqueue_bare(client: Redis, _config: RedisConfig) -> float:
    queue = bullmq.Queue(QUEUE, {"connection": client})
    await queue.add("nothing", {"n": -1}, {"jobId": "first"})

    async def work() -> None:
        for n in range(SINGLY):
            await queue.add("nothing", {"n": n}, {"jobId": f"job-{n}", **BARE})

    return await _rate(SINGLY, work())


async def _bulk_ours(client: Redis, _config: RedisConfig) -> float:
    queue = JobQueue(QUEUE, client)
    return await _rate(IN_BULK, queue.enqueue_many(NewJob("nothing", {"n": n}) for n in range(IN_BULK)))


async def _bulk_bare(client: Redis, _config: RedisConfig) -> float:
    queue = bullmq.Queue(QUEUE, {"connection": client})
    jobs = [{"name": "nothing", "data": {"n": n}, "opts": {"jobId": f"job-{n}", **BARE}} for n in range(IN_BULK)]

    async def work() -> None:
        for start in range(0, IN_BULK, 1000):
            await queue.addBulk(jobs[start : start + 1000])

    return await _rate(IN_BULK, work())


async def _drain_ours(client: Redis, config: RedisConfig) -> float:
    await _bulk_ours(client, config)
    done, left = asyncio.Event(), DRAINED

    async def handle(_job: Job) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    consumer = Consumer(QUEUE, handle, partial(connect, config), Pace(CONCURRENCY), random.Random(1))
    consumer.start()
    rate = await _rate(DRAINED, done.wait())
    await consumer.drain(5)
    return rate


async def _drain_bare(client: Redis, config: RedisConfig) -> float:
    await _bulk_bare(client, config)
    done, left = asyncio.Event(), DRAINED

    async def handle(_job: bullmq.Job, _token: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    own = connect(config)
    worker = bullmq.Worker(QUEUE, handle, {"connection": own, "concurrency": CONCURRENCY, "drainDelay": 1})
    rate = await _rate(DRAINED, done.wait())
    await worker.close()
    return rate


if __name__ == "__main__":
    main()
