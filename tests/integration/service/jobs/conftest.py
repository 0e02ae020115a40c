"""A Redis with queues in it, consumers inside the test, and workers as processes of their own."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from aiapp_service.config import RedisConfig
from aiapp_service.jobs.consumer import Consumer, Pace
from aiapp_service.jobs.job import Handler
from aiapp_service.jobs.queue import JobQueue
from aiapp_service.jobs.redis import connect
from tests.integration.servers.redis import RedisServer
from tests.integration.service.jobs.processes import JobProcess
from tests.integration.service.waiting import until

QUEUE = "embeddings"
FIVE_AT_ONCE = Pace(5)

Consuming = Callable[..., AbstractAsyncContextManager[Consumer]]


@pytest.fixture
def redis_config(redis: RedisServer, tmp_path: Path) -> RedisConfig:
    file = tmp_path / "redis-url"
    file.write_text(redis.url)
    return RedisConfig(url_file=file)


@pytest.fixture
async def client(redis_config: RedisConfig) -> AsyncIterator[Redis]:
    async with connect(redis_config) as opened:
        yield opened


@pytest.fixture
def queue(client: Redis) -> JobQueue:
    return JobQueue(QUEUE, client)


@pytest.fixture
def consuming(redis_config: RedisConfig) -> Consuming:
    """Runs a handler in this process while a context lasts."""

    @contextlib.asynccontextmanager
    async def run(handler: Handler, pace: Pace = FIVE_AT_ONCE, drain_seconds: float = 0.5) -> AsyncIterator[Consumer]:
        consumer = Consumer(QUEUE, handler, partial(connect, redis_config), pace, random.Random(1))
        consumer.start()
        try:
            yield consumer
        finally:
            await consumer.drain(drain_seconds)

    return run


@pytest.fixture
async def start_process(redis_config: RedisConfig, tmp_path: Path) -> AsyncIterator[Callable[..., JobProcess]]:
    """Starts workers that run until the test ends, or ends them."""
    started: list[JobProcess] = []

    def start(concurrency: int = 10) -> JobProcess:
        process = JobProcess(redis_config.url_file, concurrency, tmp_path / f"worker-{len(started)}.log")
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


async def settled(queue: JobQueue, ids: Iterable[str], state: str = "completed", seconds: float = 20) -> None:
    """Wait until jobs are in a state."""

    async def all_so() -> bool:
        return all([await queue.state(job_id) == state for job_id in ids])

    await until(f"jobs {state}", all_so, seconds)


async def completions(queue: JobQueue) -> list[str]:
    """The id of each job as often as the queue has called it completed."""
    entries = await queue.client.xrange(f"{queue.prefix}events")
    return [fields["jobId"] for _, fields in entries if fields.get("event") == "completed"]
