"""What is promised when processes die: nothing is lost, each effect is there once, a zombie's word does not count."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from aiapp_service.jobs.job import Job
from aiapp_service.jobs.queue import JobQueue, NewJob
from aiapp_service.stores.breaker import StoreDown
from tests.bench.report import resident_mebibytes
from tests.integration.servers.redis import RedisServer
from tests.integration.service.jobs.conftest import Consuming, completions, settled
from tests.integration.service.jobs.processes import EFFECTS, REPEATED, STARTED, JobProcess
from tests.integration.service.waiting import until

# Promised in docs/jobs.md.
RECOVERY_SECONDS = 20.0

StartProcess = Callable[..., JobProcess]


async def test_killed_worker_with_ten_jobs_in_flight_loses_none(
    queue: JobQueue, client: Redis, start_process: StartProcess
) -> None:
    first = start_process()
    ids = await queue.enqueue_many(NewJob("count", {"n": n, "until": "go"}) for n in range(10))
    await until("ten in flight", lambda: _count(client, STARTED, 10))
    start_process()
    first.kill()
    await client.set("go", 1)
    await settled(queue, ids, seconds=RECOVERY_SECONDS)
    assert Counter(await completions(queue)) == Counter(ids)
    assert await client.hlen(EFFECTS) == 10
    assert await client.hlen(REPEATED) == 0
    assert set((await client.hgetall(STARTED)).values()) == {"2"}


async def test_zombie_is_not_listened_to(queue: JobQueue, client: Redis, start_process: StartProcess) -> None:
    """A worker that was away for longer than its lock comes back and has done the job, too."""
    zombie = start_process()
    job = await queue.enqueue("count", {"until": "go"})
    await until("begun", lambda: client.hexists(STARTED, job))
    zombie.signal(signal.SIGSTOP)
    other = start_process()
    await client.set("go", 1)
    await settled(queue, [job], seconds=40)
    assert await queue.result(job) == other.pid
    zombie.signal(signal.SIGCONT)
    later = await queue.enqueue("count", {"until": "go", "n": 1})
    await settled(queue, [later])
    await until("the zombie has done it", lambda: client.hexists(REPEATED, job))
    await until("the zombie was refused", lambda: "queue error" in zombie.said() or "lost to another" in zombie.said())
    assert await queue.result(job) == other.pid
    assert Counter(await completions(queue)) == Counter([job, later])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_redis_that_ends_and_comes_back_loses_no_job(
    redis: RedisServer, queue: JobQueue, client: Redis, start_process: StartProcess, number: signal.Signals
) -> None:
    """With an append-only file; each job that was taken is done, also while others are added."""
    taken: list[str] = []

    async def produce() -> None:
        for n in range(300):
            while True:
                with contextlib.suppress(StoreDown):
                    taken.append(await queue.enqueue("count", {"n": n, "ticks": n % 5}))
                    break
            await asyncio.sleep(0)

    start_process()
    producing = asyncio.create_task(produce())
    await until("some are done", lambda: _count(client, EFFECTS, 50))
    await asyncio.to_thread(redis.server.stop, number)
    await asyncio.to_thread(redis.server.start)
    await producing
    await settled(queue, taken, seconds=60)
    assert len(set(taken)) == 300
    assert await client.hlen(EFFECTS) == 300
    assert set(Counter(await completions(queue)).values()) == {1}


async def test_consumer_waits_for_redis(
    redis: RedisServer, queue: JobQueue, client: Redis, consuming: Consuming
) -> None:
    async def handler(job: Job) -> str:
        return job.id

    job = await queue.enqueue("early", {})
    await asyncio.to_thread(redis.server.stop)
    async with consuming(handler) as consumer:
        await asyncio.sleep(0)
        assert consumer.alive
        await asyncio.to_thread(redis.server.start)
        await settled(queue, [job], seconds=30)
        assert consumer.alive


async def test_many_queued_jobs_take_no_memory_of_the_worker(
    queue: JobQueue, client: Redis, start_process: StartProcess
) -> None:
    await queue.enqueue_many(NewJob("nothing", {"n": n}) for n in range(100_000))
    worker = start_process()

    async def left(most: int) -> bool:
        return bool(await client.zcard(f"{queue.prefix}prioritized") <= most)

    await until("warm", lambda: left(99_000), seconds=90)
    before = resident_mebibytes(worker.pid)
    await until("a good part is done", lambda: left(95_000), seconds=120)
    assert resident_mebibytes(worker.pid) - before < 5


async def _count(client: Redis, key: str, wanted: int) -> bool:
    return bool(await client.hlen(key) >= wanted)
