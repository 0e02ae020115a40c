"""What producers can rely on: ids, order, time, results, and what is refused."""

import asyncio
import math
from pathlib import Path

import pytest
from redis.asyncio import Redis

from aiapp_service.config import RedisConfig
from aiapp_service.jobs.consumer import Pace
from aiapp_service.jobs.job import Job
from aiapp_service.jobs.queue import JobQueue, NewJob, WrongJob, content_id
from aiapp_service.jobs.queues import Queues
from aiapp_service.stores.breaker import StoreDown
from tests.integration.servers.redis import RedisServer
from tests.integration.service.jobs.conftest import Consuming, completions, settled
from tests.integration.service.waiting import until


async def number(job: Job) -> int:
    return int(job.data.get("n", 0))


async def test_jobs_run_as_many_at_once_as_asked_and_no_more(queue: JobQueue, consuming: Consuming) -> None:
    running, most = 0, 0

    async def handler(job: Job) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return int(job.data["n"])

    ids = await queue.enqueue_many(NewJob("count", {"n": n}) for n in range(30))
    async with consuming(handler, Pace(3)):
        await settled(queue, ids)
    assert most == 3
    assert [await queue.result(job_id) for job_id in ids] == list(range(30))


async def test_the_same_job_is_one_job_while_it_waits_or_runs(queue: JobQueue, consuming: Consuming) -> None:
    seen: list[str] = []
    begun, go = asyncio.Event(), asyncio.Event()

    async def handler(job: Job) -> None:
        seen.append(job.id)
        begun.set()
        await go.wait()

    first = await queue.enqueue("one", {"a": 1, "b": 2})
    assert await queue.enqueue("one", {"b": 2, "a": 1}) == first == content_id("one", {"a": 1, "b": 2})
    async with consuming(handler):
        await begun.wait()
        await queue.enqueue("one", {"a": 1, "b": 2})
        go.set()
        await settled(queue, [first])
        other = await queue.enqueue("one", {"a": 2})
        await settled(queue, [other])
    assert seen == [first, other]


async def test_job_that_has_ended_does_not_block_its_id(queue: JobQueue, consuming: Consuming) -> None:
    async def handler(job: Job) -> int:
        if job.data["n"] == 0:
            raise ValueError
        return int(job.data["n"])

    async with consuming(handler):
        for n in (1, 2):
            assert await queue.enqueue("again", {"n": n}, job_id="the-one") == "the-one"
            await until("result", lambda n=n: _has_result(queue, "the-one", n))
        await queue.enqueue("again", {"n": 0}, job_id="the-one")
        await until("attempted", lambda: _state_is(queue, "the-one", "delayed"))
        await queue.bull.remove("the-one")
        assert (await queue.enqueue_many([NewJob("again", {"n": 3}, job_id="the-one")])) == ["the-one"]
        await until("result", lambda: _has_result(queue, "the-one", 3))
    assert await completions(queue) == ["the-one"] * 3


async def _has_result(queue: JobQueue, job_id: str, wanted: int) -> bool:
    return bool(await queue.result(job_id) == wanted)


async def _state_is(queue: JobQueue, job_id: str, wanted: str) -> bool:
    return await queue.state(job_id) == wanted


async def test_higher_priorities_first_then_by_age(queue: JobQueue, consuming: Consuming) -> None:
    order: list[int] = []

    async def handler(job: Job) -> None:
        order.append(job.data["n"])

    priorities = [0, -1000, 5, 0, 999, 5]
    ids = [await queue.enqueue("p", {"n": n}, priority=priority) for n, priority in enumerate(priorities)]
    async with consuming(handler, Pace(1)):
        await settled(queue, ids)
    assert order == [4, 2, 5, 0, 3, 1]


async def test_delays_longer_than_a_socket_waits_run_in_time(queue: JobQueue, consuming: Consuming) -> None:
    """With the library's own connection a delay of more than five seconds never ended."""
    loop = asyncio.get_running_loop()
    ran: dict[str, float] = {}

    async def handler(job: Job) -> None:
        ran[job.id] = loop.time()

    async with consuming(handler):
        began = loop.time()
        short = await queue.enqueue("d", {}, job_id="short", delay_seconds=0.3)
        long = await queue.enqueue("d", {}, job_id="long", delay_seconds=6)
        assert await queue.state(long) == "delayed"
        await settled(queue, [short, long])
    assert ran["short"] - began >= 0.3
    assert ran["long"] - began >= 6


async def test_rate_is_kept_by_all_consumers_together(queue: JobQueue, consuming: Consuming) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def handler(_job: Job) -> None:
        times.append(loop.time())

    ids = await queue.enqueue_many(NewJob("r", {"n": n}) for n in range(9))
    pace = Pace(5, most=3, seconds=1)
    async with consuming(handler, pace), consuming(handler, pace):
        await settled(queue, ids)
    # At most three in any second: from the first to the fourth a window passes, and so on.
    assert all(times[n + 3] - times[n] >= 0.9 for n in range(len(times) - 3))


async def test_results_are_kept_each_for_its_own_time(queue: JobQueue, consuming: Consuming, client: Redis) -> None:
    async with consuming(number):
        long = await queue.enqueue("k", {"n": 1}, keep_result_seconds=3600)
        await settled(queue, [long])
        short = await queue.enqueue("k", {"n": 2}, keep_result_seconds=1)
        none = await queue.enqueue("k", {"n": 3}, keep_result_seconds=0)
        await until("short result is gone", lambda: _state_is(queue, short, "unknown"))
        await until("no result", lambda: _state_is(queue, none, "unknown"))
        assert await queue.result(long) == 1
        assert 3590 < await client.ttl(queue.prefix + long) <= 3600
        # An id whose result has run out is free.
        await queue.enqueue("k", {"n": 2}, keep_result_seconds=1)
        assert len(await completions(queue)) == 3
        await until("again", lambda: _completed(queue, 4))


async def _completed(queue: JobQueue, number_of: int) -> bool:
    return len(await completions(queue)) == number_of


@pytest.mark.parametrize(
    ("name", "data", "options", "words"),
    [
        ("n", {"x": math.nan}, {}, "no plain JSON"),
        ("n", {"x": math.inf}, {"job_id": "a"}, "no plain JSON"),
        ("n", {"x": Path()}, {}, "no plain JSON"),
        ("n", {"x": "\ud800"}, {}, "no plain JSON"),
        ("", {}, {}, "name"),
        ("n", {}, {"job_id": "123"}, "job_id"),
        ("n", {}, {"job_id": "a:b"}, "job_id"),
        ("n", {}, {"priority": 1000}, "priority"),
        ("n", {}, {"priority": -1001}, "priority"),
        ("n", {}, {"delay_seconds": -1}, "delay_seconds"),
        ("n", {}, {"delay_seconds": math.nan}, "delay_seconds"),
        ("n", {}, {"keep_result_seconds": 10**9}, "keep_result_seconds"),
    ],
)
async def test_wrong_job_is_refused_at_the_door(queue: JobQueue, client: Redis, name, data, options, words) -> None:
    with pytest.raises(WrongJob, match=words):
        await queue.enqueue(name, data, **options)
    with pytest.raises(WrongJob, match=words):
        await queue.enqueue_many([NewJob("good", {}), NewJob(name, data, **options)])
    assert await client.keys(f"{queue.prefix}*") == []


async def test_producer_is_told_at_once_that_redis_is_gone(redis: RedisServer, redis_config: RedisConfig) -> None:
    queues = Queues(redis_config, "shop")
    try:
        job = await queues["embeddings"].enqueue("n", {})
        await asyncio.to_thread(redis.server.stop)
        with pytest.raises(StoreDown):
            await queues["embeddings"].enqueue("n", {"other": 1})
        await asyncio.to_thread(redis.server.start)
        assert await queues["embeddings"].state(job) == "waiting"
    finally:
        await queues.close()


async def test_apps_that_share_a_redis_do_not_see_each_others_jobs(queue: JobQueue, client: Redis) -> None:
    job = await queue.enqueue("n", {})
    assert await JobQueue(queue.name, client, "other").state(job) == "unknown"
