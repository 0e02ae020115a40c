"""Doing in one go what several ask for at about the same time: while it is done for some, the next ones gather."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

Work = Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]


class Gathering(Generic[T, R]):
    """Calls `work` with what has gathered, at most `at_once` calls at a time.

    The things of a call weigh no more than `most` together, unless one alone does. `work` gives a result, or the
    error to raise, for each of them; what it raises itself is raised for each.
    """

    def __init__(
        self, work: Work[T, R], most: int, at_once: int = 1, weight: Callable[[T], int] = lambda _thing: 1
    ) -> None:
        self._work = work
        self._most = most
        self._at_once = at_once
        self._weight = weight
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._running = 0
        # Only so that they are not collected while they run.
        self._calls: set[asyncio.Task[None]] = set()

    async def do(self, thing: T) -> R:
        """What came of `thing`. A caller that is cancelled before its turn is left out."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, done))
        if self._running < self._at_once:
            self._running += 1
            call = asyncio.create_task(self._run())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        return await done

    async def _run(self) -> None:
        try:
            # Those that come in this turn of the loop come along.
            await asyncio.sleep(0)
            await self._work_off()
        finally:
            # At once with the last look: who comes after it starts another call.
            self._running -= 1

    async def _work_off(self) -> None:
        while some := self._next():
            try:
                results = await self._work([thing for thing, _ in some])
            except Exception as error:  # noqa: BLE001  # it is raised where it belongs
                results = [error] * len(some)
            for (_, done), result in zip(some, results, strict=True):
                if done.done():
                    continue
                if isinstance(result, Exception):
                    done.set_exception(result)
                else:
                    done.set_result(result)

    def _next(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        found: list[tuple[T, asyncio.Future[R]]] = []
        weight = 0
        while self._waiting:
            thing, done = self._waiting[0]
            if not done.done():
                weight += self._weight(thing)
                if found and weight > self._most:
                    break
                found.append((thing, done))
            self._waiting.popleft()
        return found
