"""What is written to a cache, after the answer and without holding it up."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

# Each may hold an answer: together no more than some tens of megabytes in the usual case.
MOST = 256
DRAIN_SECONDS = 3.0
_SAY_EACH_SECONDS = 60.0


class Writes:
    """Those under way. What is too much is not written: a cache may forget."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()
        self._said_at = float("-inf")

    def start(self, write: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run it in the background; False: there are too many, it is not run."""
        if len(self._tasks) >= self._most:
            return False
        task = asyncio.create_task(self._run(write))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def drain(self) -> None:
        """Let them end, for at most three seconds."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await write()
        except Exception as error:  # noqa: BLE001  # whatever is wrong, no request depends on it
            now = asyncio.get_running_loop().time()
            if now - self._said_at >= _SAY_EACH_SECONDS:
                self._said_at = now
                # The text of a driver's error may repeat what was written.
                log.warning("an answer was not kept", extra={"error": type(error).__name__})
