"""What several ask for at about the same time is done in one go, and each hears of its own."""

import asyncio
from collections.abc import Sequence

import pytest

from aiapp_service.retrieval.gathering import Gathering


class Doubling:
    """Doubles numbers, when it is let; refuses those below zero."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.called, self.let = asyncio.Event(), asyncio.Event()

    async def work(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.calls.append(list(numbers))
        self.called.set()
        await self.let.wait()
        if 13 in numbers:
            raise RuntimeError("all of them")
        return [ValueError(number) if number < 0 else 2 * number for number in numbers]


async def test_what_comes_while_some_is_done_is_done_together() -> None:
    doubling = Doubling()
    gathering = Gathering[int, int](doubling.work, most=4)
    first = [asyncio.create_task(gathering.do(n)) for n in (1, 2)]
    await doubling.called.wait()
    later = [asyncio.create_task(gathering.do(n)) for n in (3, 4, 5, 6, 7)]
    await asyncio.sleep(0)
    doubling.let.set()
    assert await asyncio.gather(*first, *later) == [2, 4, 6, 8, 10, 12, 14]
    assert doubling.calls == [[1, 2], [3, 4, 5, 6], [7]]


async def test_heavy_things_make_smaller_calls() -> None:
    doubling = Doubling()
    doubling.let.set()
    gathering = Gathering[int, int](doubling.work, most=10, weight=lambda number: number)
    assert await asyncio.gather(*map(gathering.do, (6, 4, 1, 30, 2))) == [12, 8, 2, 60, 4]
    assert doubling.calls == [[6, 4], [1], [30], [2]]


async def test_each_hears_of_its_own_error_and_all_of_one_for_all() -> None:
    doubling = Doubling()
    doubling.let.set()
    gathering = Gathering[int, int](doubling.work, most=10)
    results = await asyncio.gather(*map(gathering.do, (1, -1, 2)), return_exceptions=True)
    assert [results[0], results[2]] == [2, 4]
    assert isinstance(results[1], ValueError)
    results = await asyncio.gather(*map(gathering.do, (1, 13)), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]
    with pytest.raises(ValueError, match="-5"):
        await gathering.do(-5)


async def test_a_caller_that_is_cancelled_is_left_out() -> None:
    doubling = Doubling()
    gathering = Gathering[int, int](doubling.work, most=10)
    first = asyncio.create_task(gathering.do(1))
    await doubling.called.wait()
    second, third = asyncio.create_task(gathering.do(2)), asyncio.create_task(gathering.do(3))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.sleep(0)
    doubling.let.set()
    assert await third == 6
    assert doubling.calls == [[1], [3]]


async def test_no_more_calls_at_once_than_allowed() -> None:
    doubling = Doubling()
    gathering = Gathering[int, int](doubling.work, most=1, at_once=2)
    tasks = [asyncio.create_task(gathering.do(n)) for n in range(5)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert doubling.calls == [[0], [1]]
    doubling.let.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]


async def test_who_asks_again_at_once_is_not_forgotten() -> None:
    doubling = Doubling()
    doubling.let.set()
    gathering = Gathering[int, int](doubling.work, most=10)
    async with asyncio.timeout(5):
        assert [await gathering.do(n) for n in range(3)] == [0, 2, 4]
