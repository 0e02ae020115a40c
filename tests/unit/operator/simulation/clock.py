"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing else is to be done."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
T = TypeVar("T")
# Uptime of the machine when the loop starts: nothing may take the loop's clock to begin at zero.
_UPTIME_SECONDS = 1000.0


class Stuck(Exception):
    """Nothing is due, ever: the test would hang."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: tells `jump` how long it would have waited."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Stuck("all tasks wait for each other")
            self._jump(max(0.0, timeout))
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop; its time is seconds that nobody waits for."""

    def __init__(self) -> None:
        self._now = _UPTIME_SECONDS
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        return self._now

    def _jump(self, seconds: float) -> None:
        self._now += seconds


def virtual_time(scenario: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    """Run an asynchronous test, or a part of one, in a loop of its own with virtual time."""

    @functools.wraps(scenario)
    def run(*args: Any, **kwargs: Any) -> T:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(scenario(*args, **kwargs))

    return run


def wall_clock() -> datetime:
    """The date that belongs to the loop's time."""
    return _EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


def seconds() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()
