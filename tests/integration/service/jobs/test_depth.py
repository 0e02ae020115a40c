"""The signal for autoscaling: right, and told once for each queue whatever the number of workers."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import generate_latest
from redis.asyncio import Redis

from aiapp_service.config import RedisConfig
from aiapp_service.jobs import depth
from aiapp_service.jobs.consumer import Pace
from aiapp_service.jobs.depth import DepthMeter
from aiapp_service.jobs.job import Job
from aiapp_service.jobs.queue import JobQueue
from aiapp_service.jobs.redis import connect
from aiapp_service.telemetry.metrics import Metrics
from tests.integration.servers.redis import RedisServer
from tests.integration.service.jobs.conftest import QUEUE, Consuming, settled
from tests.integration.service.waiting import until


class Told:
    """A meter, and what its process would tell Prometheus."""

    def __init__(self, queue: JobQueue) -> None:
        self._metrics = Metrics()
        self.meter = DepthMeter(queue, self._metrics)

    async def look(self) -> float | None:
        await self.meter.look()
        return self.value("ai_queue_depth")

    def value(self, name: str) -> float | None:
        return self._metrics.registry.get_sample_value(name, {"queue": QUEUE})

    def text(self) -> str:
        return generate_latest(self._metrics.registry).decode()


async def test_depth_is_what_waits_runs_or_is_due(queue: JobQueue, consuming: Consuming) -> None:
    told, go = Told(queue), asyncio.Event()

    async def handler(_job: Job) -> None:
        await go.wait()

    assert await told.look() == 0
    for n in range(5):
        await queue.enqueue("n", {"n": n}, priority=n)
    await queue.bull.add("foreign", {}, {"jobId": "without-priority"})
    await queue.enqueue("n", {"later": 1}, delay_seconds=3600)
    assert await told.look() == 6
    await queue.enqueue("n", {"soon": 1}, delay_seconds=0.05)
    await until("it is due, though no worker looked", lambda: _is(told, 7))
    async with consuming(handler, Pace(2)) as consumer:
        await until("two run", lambda: len(consumer.running) == 2)
        assert await told.look() == 7
        go.set()
        await until("only the late one is left", lambda: _is(told, 0))


async def _is(told: Told, wanted: float) -> bool:
    return await told.look() == wanted


async def test_age_is_of_the_job_that_has_waited_longest_beyond_its_delay(queue: JobQueue, client: Redis) -> None:
    told = Told(queue)
    await told.look()
    assert told.value("ai_queue_oldest_age_seconds") == 0
    ids = [await queue.enqueue("n", {"n": n}, priority=n) for n in range(3)]
    now = time.time()
    # The most important one is young, the least important one is old; the third was tried a moment ago.
    await client.hset(queue.prefix + ids[0], "timestamp", int(1000 * (now - 100)))
    await client.hset(queue.prefix + ids[1], "timestamp", int(1000 * (now - 50)))
    await client.hset(queue.prefix + ids[2], "timestamp", int(1000 * (now - 5000)))
    await client.hset(queue.prefix + ids[2], "processedOn", int(1000 * now))
    await told.look()
    assert told.value("ai_queue_oldest_age_seconds") == pytest.approx(100, abs=20)


async def test_one_of_many_workers_tells(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "LEASE_SECONDS", 0.5)
    await queue.enqueue("n", {})
    workers = [Told(queue) for _ in range(4)]
    for _ in range(3):
        assert [await worker.look() for worker in workers] == [1, None, None, None]
    assert "ai_queue_depth{" not in workers[1].text()
    # The one that tells is gone; another one does, and the first has nothing to say when it comes back.
    await until("another one tells", lambda: _is(workers[1], 1))
    assert await workers[0].look() is None
    assert "ai_queue_depth{" not in workers[0].text()
    assert "ai_queue_oldest_age_seconds{" not in workers[0].text()
    # One that stops in good order leaves it to the next at once.
    await workers[1].meter.release()
    assert await workers[2].look() == 1
    assert workers[1].value("ai_queue_depth") is None


@pytest.fixture
async def lonely_queue(redis_config: RedisConfig) -> AsyncIterator[JobQueue]:
    async with connect(redis_config) as own:
        yield JobQueue(QUEUE, own)


async def test_what_is_not_known_any_more_is_not_told(
    redis: RedisServer, lonely_queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth, "LEASE_SECONDS", 0.5)
    told = Told(lonely_queue)
    assert await told.look() == 0
    await asyncio.to_thread(redis.server.stop)
    await until("nothing is told", lambda: _is_none(told))
    await asyncio.to_thread(redis.server.start)
    await until("it is told again", lambda: _is(told, 0))


async def _is_none(told: Told) -> bool:
    return await told.look() is None


async def test_job_that_ends_leaves_nothing(queue: JobQueue, consuming: Consuming) -> None:
    async def handler(_job: Job) -> None:
        return

    told = Told(queue)
    async with consuming(handler):
        await settled(queue, [await queue.enqueue("n", {})])
    assert await told.look() == 0
    assert told.value("ai_queue_oldest_age_seconds") == 0
