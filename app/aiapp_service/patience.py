"""Many waits, one after the other, each with an end of its own, for the price of one timer.

`asyncio.timeout` makes and removes a timer for each wait. A stream waits hundreds of times and nearly never in vain:
here the timer stays where it is, and looks when it rings whether the wait of that moment is over.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """For one task at a time. `close` it when there is nothing more to wait for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._waiting: asyncio.Task[object] | None = None
        self._over = False

    async def wait(self, call: Awaitable[T], until: float) -> T:
        """The result of `call`, which is cancelled at `until`, in the loop's time.

        Raises:
            TimeoutError: it was.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs runs in a task
        self._until, self._over, self._waiting = until, False, task
        if self._timer is None or self._timer.when() > until:
            self.close()
            self._timer = self._loop.call_at(until, self._look)
        cancelling = task.cancelling()
        try:
            return await call
        except asyncio.CancelledError:
            # Somebody else may have cancelled it at the same moment, and has to be obeyed.
            if self._over and task.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._waiting = None

    def close(self) -> None:
        """Take the timer away."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._look)
            return
        self._over = True
        self._waiting.cancel()
