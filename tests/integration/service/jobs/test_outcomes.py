"""How a job ends: failure, refusal, postponement, cancellation, a worker that stops."""

import asyncio
import itertools
import math
import time

import pytest

from aiapp_service.jobs import running
from aiapp_service.jobs.administration import counts
from aiapp_service.jobs.cancelling import Cancelled, cancel
from aiapp_service.jobs.consumer import Pace
from aiapp_service.jobs.job import Job, JobCancelled, JobPostponed, JobRefused
from aiapp_service.jobs.queue import JobQueue, NewJob
from tests.integration.service.jobs.conftest import Consuming, completions, settled
from tests.integration.service.waiting import until


async def test_failure_is_tried_again_and_refusal_is_not(queue: JobQueue, consuming: Consuming) -> None:
    attempts: list[tuple[str, int]] = []

    async def handler(job: Job) -> str:
        attempts.append((job.name, job.attempt))
        if job.name == "refused":
            raise JobRefused("input: is wrong for ever")
        if job.attempt < 3:
            raise RuntimeError("not now")
        return "done"

    flaky, refused = await queue.enqueue("flaky", {}), await queue.enqueue("refused", {})
    async with consuming(handler):
        await settled(queue, [flaky], seconds=40)
        await settled(queue, [refused], "failed")
    assert [n for name, n in attempts if name == "flaky"] == [1, 2, 3]
    assert [n for name, n in attempts if name == "refused"] == [1]
    assert await queue.failure(refused) == "input: is wrong for ever"


async def test_postponed_job_comes_again_and_that_costs_no_attempt(queue: JobQueue, consuming: Consuming) -> None:
    seen: list[tuple[int, float]] = []

    async def handler(job: Job) -> str:
        seen.append((job.attempt, time.monotonic()))
        if len(seen) <= 7:
            raise JobPostponed(0.2)
        return "done"

    job = await queue.enqueue("poll", {})
    async with consuming(handler):
        await settled(queue, [job])
    assert [attempt for attempt, _ in seen] == [1] * 8, "more often than there are attempts"
    assert all(later - earlier >= 0.19 for (_, earlier), (_, later) in itertools.pairwise(seen))


async def test_handler_that_is_cancelled_does_not_stop_the_worker(queue: JobQueue, consuming: Consuming) -> None:
    async def handler(job: Job) -> str:
        if job.name == "bad" and job.attempt == 1:
            raise asyncio.CancelledError
        return "done"

    async with consuming(handler, Pace(1)) as consumer:
        bad = await queue.enqueue("bad", {})
        good = await queue.enqueue("good", {})
        await settled(queue, [good, bad], seconds=30)
        assert consumer.alive


async def test_result_that_is_no_json_fails_the_job_and_not_the_worker(queue: JobQueue, consuming: Consuming) -> None:
    async def handler(job: Job) -> float:
        return math.nan if job.data["n"] == 0 and job.attempt == 1 else 1.0

    async with consuming(handler):
        ids = [await queue.enqueue("n", {"n": n}) for n in range(2)]
        await settled(queue, ids, seconds=30)


async def test_progress_is_told(queue: JobQueue, consuming: Consuming) -> None:
    told, go = asyncio.Event(), asyncio.Event()

    async def handler(job: Job) -> None:
        await job.progress(10)
        await job.progress({"lines": 3, "of": 7})
        told.set()
        await go.wait()

    job = await queue.enqueue("p", {})
    async with consuming(handler):
        await told.wait()
        assert (await queue.bull.getJob(job)).progress == {"lines": 3, "of": 7}
        go.set()
        await settled(queue, [job])


async def test_job_that_waits_is_removed_by_cancelling(queue: JobQueue) -> None:
    waiting, delayed = await queue.enqueue("w", {}), await queue.enqueue("d", {}, delay_seconds=60)
    for job in (waiting, delayed):
        assert await cancel(queue, job) is Cancelled.REMOVED
        assert await queue.state(job) == "unknown"
        assert await cancel(queue, job) is Cancelled.TOO_LATE


@pytest.mark.parametrize("heeds", [True, False])
async def test_job_that_runs_is_cancelled(
    queue: JobQueue, consuming: Consuming, monkeypatch: pytest.MonkeyPatch, heeds: bool
) -> None:
    """Also one that does not look, after a while: it is cancelled where it waits."""
    monkeypatch.setattr(running, "HEED_SECONDS", 30.0 if heeds else 0.2)
    begun = asyncio.Event()
    seen: list[str] = []

    async def handler(job: Job) -> None:
        seen.append(job.id)
        begun.set()
        if not heeds:
            await asyncio.sleep(3600)
        await job.cancelled.wait()
        raise JobCancelled("stopped in good order")

    async with consuming(handler) as consumer:
        job = await queue.enqueue("c", {})
        await begun.wait()
        assert await cancel(queue, job) is Cancelled.ASKED
        await settled(queue, [job], "failed")
        assert consumer.running == []
        assert await cancel(queue, job) is Cancelled.TOO_LATE
    assert await queue.failure(job) == "the job was cancelled"
    assert seen == [job], "it is not tried again"


async def test_job_that_ends_well_in_spite_of_being_cancelled_is_completed(
    queue: JobQueue, consuming: Consuming
) -> None:
    begun = asyncio.Event()

    async def handler(job: Job) -> str:
        begun.set()
        await job.cancelled.wait()
        return "what was done by then"

    async with consuming(handler):
        job = await queue.enqueue("c", {})
        await begun.wait()
        await cancel(queue, job)
        await settled(queue, [job])
    assert await queue.result(job) == "what was done by then"


async def test_cancellation_outlives_the_worker_that_should_hear_of_it(queue: JobQueue, consuming: Consuming) -> None:
    begun = asyncio.Event()
    seen: list[int] = []

    async def stubborn(_job: Job) -> None:
        begun.set()
        await asyncio.sleep(3600)

    async def next_one(job: Job) -> None:
        seen.append(job.attempt)

    job = await queue.enqueue("c", {})
    async with consuming(stubborn) as consumer:
        await begun.wait()
        consumer._tasks[1].cancel()
        assert await cancel(queue, job) is Cancelled.ASKED
    async with consuming(next_one):
        await settled(queue, [job], "failed")
    assert seen == []


async def test_stop_gives_back_what_is_not_done_and_the_next_one_has_it_at_once(
    queue: JobQueue, consuming: Consuming
) -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    async def slow(_job: Job) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(await queue.state(job))

    async def quick(job: Job) -> int:
        return job.attempt

    job = await queue.enqueue("work", {})
    async with consuming(slow, drain_seconds=0.2):
        await begun.wait()
    assert ended == ["active"], "the handler has ended before the job was given back"
    async with consuming(quick):
        await settled(queue, [job], seconds=10)
    assert await queue.result(job) == 1, "what was given back does not count as a try"


async def test_stop_lets_jobs_end(queue: JobQueue, consuming: Consuming) -> None:
    begun = asyncio.Event()

    async def handler(_job: Job) -> str:
        begun.set()
        await asyncio.sleep(0.5)
        return "done"

    job, more = await queue.enqueue("work", {}), await queue.enqueue("more", {})
    async with consuming(handler, Pace(1), drain_seconds=10):
        await begun.wait()
    states = {await queue.state(job), await queue.state(more)}
    assert states == {"completed", "waiting"}


async def test_stop_in_the_midst_leaves_no_job_behind(queue: JobQueue, consuming: Consuming) -> None:
    """The library's own loop leaves those that it has just taken to be found as stalled."""
    ended = 0

    async def handler(job: Job) -> None:
        nonlocal ended
        await asyncio.sleep(job.data["n"] % 7 / 1000)
        ended += 1

    ids = await queue.enqueue_many(NewJob("n", {"n": n}) for n in range(600))
    for _ in range(3):
        before = ended
        async with consuming(handler, Pace(20), drain_seconds=10):
            await until("some are done", lambda before=before: ended >= before + 50)
        assert (await counts(queue))["active"] == 0
        assert len(await completions(queue)) == ended
    async with consuming(handler, Pace(20)):
        await until("all are done", lambda: ended == 600)
        await settled(queue, ids)


async def test_jobs_of_other_programs_get_attempts_too(queue: JobQueue, consuming: Consuming) -> None:
    seen: list[int] = []

    async def handler(job: Job) -> str:
        seen.append(job.attempt)
        if job.attempt == 1:
            raise RuntimeError
        return "done"

    await queue.bull.add("foreign", {}, {"jobId": "foreign-1"})
    async with consuming(handler):
        await settled(queue, ["foreign-1"])
    await until("no more", lambda: seen == [1, 2])
