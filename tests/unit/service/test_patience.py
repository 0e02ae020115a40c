"""Waits end when their time is over, and only then."""

import asyncio

import pytest

from aiapp_service.patience import Patience


@pytest.fixture
async def patience():
    found = Patience()
    yield found
    found.close()


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.02


def late() -> float:
    return asyncio.get_running_loop().time() + 60


async def test_what_comes_in_time_is_given(patience):
    assert await patience.wait(asyncio.sleep(0, "here"), late()) == "here"


async def test_an_error_is_raised(patience):
    async def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await patience.wait(fail(), late())


@pytest.mark.parametrize("before", ["a longer wait", "a shorter wait", "nothing"])
async def test_what_does_not_come_is_cancelled(patience, before):
    if before != "nothing":
        await patience.wait(asyncio.sleep(0), late() if before == "a longer wait" else soon())
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await patience.wait(hang(), soon())
    assert cancelled.is_set()
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling(), "the task goes on as if nothing had been"


async def test_the_timer_of_a_wait_that_is_over_ends_no_later_one(patience):
    await patience.wait(asyncio.sleep(0), soon())
    assert await patience.wait(asyncio.sleep(0.1, "here"), late()) == "here"


async def test_whoever_is_cancelled_by_others_is_cancelled(patience):
    waiting = asyncio.create_task(patience.wait(asyncio.Event().wait(), late()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_cancelled_by_others_at_the_moment_at_which_the_time_is_over(patience):
    task = asyncio.create_task(patience.wait(asyncio.Event().wait(), soon()))
    await asyncio.sleep(0)
    # Runs in the same turn as the timer that looks, and after it.
    asyncio.get_running_loop().call_at(patience._until, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
