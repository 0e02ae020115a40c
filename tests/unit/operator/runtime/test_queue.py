"""The queue: each key once, one worker for a key at a time, failing keys later and later."""

import asyncio
from collections import Counter

import pytest

from aiapp_operator.kube.store import AppKey
from aiapp_operator.runtime.queue import BACKOFF_MOST_SECONDS, KeyedQueue
from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.seeds import seeded, seeds

A, B, C = (AppKey("team", name) for name in "abc")


class Taken:
    """A worker that notes what it takes, and when."""

    def __init__(self, queue, work=0.0):
        self.log = []
        self.start = seconds()
        self._queue = queue
        self._work = work
        self._task = asyncio.create_task(self._run())

    async def _run(self):
        while True:
            key = await self._queue.get()
            self.log.append((key, round(seconds() - self.start, 3)))
            await asyncio.sleep(self._work)
            self._queue.done(key)

    @property
    def keys(self):
        return [key for key, _ in self.log]

    async def end(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@virtual_time
async def test_a_key_is_in_the_queue_once():
    queue = KeyedQueue(seeded(0))
    for key in (A, B, A, C, B, A):
        queue.add(key)
    assert len(queue) == 3
    worker = Taken(queue)
    await asyncio.sleep(1)
    assert worker.keys == [A, B, C], "in the order of their first arrival"
    await worker.end()


@virtual_time
async def test_a_key_that_is_added_while_it_is_worked_on_runs_once_more():
    queue = KeyedQueue(seeded(0))
    worker = Taken(queue, work=1.0)
    queue.add(A)
    await asyncio.sleep(0.5)
    for _ in range(3):
        queue.add(A)
    assert len(queue) == 0, "nobody else may take it meanwhile"
    await asyncio.sleep(5)
    assert worker.log == [(A, 0.0), (A, 1.0)]
    await worker.end()


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        ([5], [5.0]),
        ([5, 2], [2.0]),
        ([2, 5], [2.0]),
        ([5, 5, 5], [5.0]),
        ([0.001], [0.001]),
        ([5, None], [0.0]),  # at once
        ([None, 5], [0.0]),  # what waits for a worker anyway needs no timer
    ],
)
@virtual_time
async def test_a_delayed_key_keeps_the_earliest_of_its_times(asked, times):
    queue = KeyedQueue(seeded(0))
    for delay in asked:
        queue.add(A) if delay is None else queue.add_after(A, delay)
    worker = Taken(queue)
    await asyncio.sleep(20)
    assert [at for _, at in worker.log] == times
    assert queue.delayed == 0
    await worker.end()


@virtual_time
async def test_a_delay_that_ends_during_the_work_runs_it_once_more():
    queue = KeyedQueue(seeded(0))
    worker = Taken(queue, work=3.0)
    queue.add(A)
    await asyncio.sleep(1)
    queue.add_after(A, 1)
    await asyncio.sleep(20)
    assert worker.log == [(A, 0.0), (A, 3.0)]
    await worker.end()


@virtual_time
async def test_back_off_doubles_has_full_jitter_and_ends():
    spans = {n: [] for n in range(12)}
    for seed in range(300):
        queue = KeyedQueue(seeded(seed))
        for failures in range(12):
            assert queue.failures(A) == failures
            spans[failures].append(queue.retry(A))
            queue.add(A)  # takes the timer away
            queue.done(await queue.get())
    for failures, found in spans.items():
        most = min(BACKOFF_MOST_SECONDS, 2.0**failures)
        assert 0.0 <= min(found) < 0.05 * most, "full jitter starts at zero"
        assert 0.95 * most < max(found) <= most


@virtual_time
async def test_success_resets_the_back_off():
    queue = KeyedQueue(seeded(0))
    for _ in range(8):
        queue.retry(A)
    queue.retry(B)
    queue.forget_failures(A)
    assert (queue.failures(A), queue.failures(B)) == (0, 1)
    assert queue.retry(A) <= 1.0


@virtual_time
async def test_an_event_overtakes_the_back_off():
    queue = KeyedQueue(seeded(3))
    for _ in range(9):
        queue.retry(A)
    worker = Taken(queue)
    queue.add(A)
    await asyncio.sleep(0.1)
    assert worker.keys == [A]
    assert queue.delayed == 0
    await worker.end()


@virtual_time
async def test_a_busy_key_does_not_starve_the_others():
    queue = KeyedQueue(seeded(0))
    worker = Taken(queue, work=1.0)
    for key in (A, B, C):
        queue.add(key)
    for _ in range(30):
        await asyncio.sleep(1.0)
        queue.add(A)
        queue.add(B)
        queue.add(C)
    counts = Counter(worker.keys)
    assert max(counts.values()) - min(counts.values()) <= 1
    await worker.end()


@virtual_time
async def test_idle_means_that_nobody_works():
    queue = KeyedQueue(seeded(0))
    await queue.until_idle()
    workers = [Taken(queue, work=2.0), Taken(queue, work=2.0)]
    queue.add(A)
    await asyncio.sleep(0.5)
    queue.add(B)
    await asyncio.sleep(0.5)
    await queue.until_idle()
    assert seconds() - workers[0].start == pytest.approx(2.5)
    for worker in workers:
        await worker.end()


@virtual_time
async def test_waiting_time_is_told():
    waited = []
    queue = KeyedQueue(seeded(0), waited.append)
    queue.add(A)
    await asyncio.sleep(2)
    queue.add(A)
    assert await queue.get() == A
    assert waited == [pytest.approx(2.0)]


@pytest.mark.parametrize("seed", seeds())
@virtual_time
async def test_never_two_workers_for_a_key_and_nothing_is_forgotten(seed):
    """Each add is followed by a run that starts after it; each key is with one worker at most."""
    rng = seeded(seed)
    queue = KeyedQueue(seeded(seed + 1))
    working, runs, added = set(), {}, {}

    async def work():
        while True:
            key = await queue.get()
            assert key not in working
            working.add(key)
            runs[key] = seconds()
            await asyncio.sleep(rng.uniform(0, 1))
            if rng.random() < 0.2:
                queue.retry(key)
            working.discard(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(3)]
    for _ in range(100):
        await asyncio.sleep(rng.uniform(0, 0.3))
        key, delay = rng.choice((A, B, C)), rng.choice((0.0, rng.uniform(0, 5)))
        queue.add_after(key, delay) if delay else queue.add(key)
        added[key] = seconds()
    await asyncio.sleep(2000)
    assert all(runs[key] >= at for key, at in added.items())
    assert (len(queue), queue.delayed, working) == (0, 0, set())
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
