"""Loops that end when they are told to."""

import asyncio


def heed_cancellation() -> None:
    """Raise CancelledError where the current task was cancelled and the cancellation got lost on its way.

    That happens in Python 3.11: `asyncio.wait_for`, which the driver of PostgreSQL waits with, drops one that comes
    together with the result.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
