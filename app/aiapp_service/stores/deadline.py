"""Waiting for an answer until a deadline, fairly."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

# Within so many turns of the loop an answer that lies in the socket has gone all the way up to whoever waits.
_TURNS = 6


async def within(seconds: float, call: Awaitable[T]) -> T:
    """The result of `call`.

    Unlike with asyncio.timeout an answer that is here in time also counts where this process was too busy to look at
    it: under load that would make a store look as if it were down. Nor does anybody wait for the end of what is given
    up.

    Raises:
        TimeoutError: it did not come.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait([task], timeout=seconds)
        for _ in range(_TURNS):
            if task.done():
                break
            await asyncio.sleep(0)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_hear)


def _hear(given_up: asyncio.Future[T]) -> None:
    """Nobody else asks how it ended, and asyncio complains of errors that nobody has asked for."""
    if not given_up.cancelled():
        given_up.exception()
