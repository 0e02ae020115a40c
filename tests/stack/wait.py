"""Waiting for a state of the world with a deadline; there are no bare sleeps in the tests."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.25


class DeadlineExceeded(AssertionError):
    """The state did not come; the message says what was waited for and what was last seen."""


def wait_until(
    what: str,
    probe: Callable[[], T | None],
    *,
    seconds: float,
    seen: Callable[[], object] | None = None,
    pause: float = POLL_SECONDS,
) -> T:
    """Call `probe` until it gives something truthy, and return that.

    Args:
        what: the state waited for, for the failure message.
        probe: looked at every `pause` seconds; its exceptions are not swallowed.
        seconds: the deadline.
        seen: gives what to show when the deadline passes; without it the last value of `probe`.

    Raises:
        DeadlineExceeded: the state did not come in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            last = seen() if seen is not None else value
            raise DeadlineExceeded(f"not within {seconds:g} s: {what}\nlast seen: {last}")
        time.sleep(pause)
