"""What makes a run stop to ask, and how long what is under way then may take."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from enum import StrEnum

from aiapp_service.batches.hold import Hold


class Halt(StrEnum):
    """Why."""

    PAUSED = "paused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    GIVEN_BACK = "given back"
    STOPPING = "stopping"
    LOST = "lost"


# Seconds that lines under way may go on; those of a pause until they end, those of a process that stops until it does.
_PATIENCE = {Halt.CANCELLED: 10.0, Halt.EXPIRED: 10.0, Halt.GIVEN_BACK: 6.0, Halt.LOST: 0.0}


class Halting:
    """The first reason counts; but what waits without end may still be cancelled, or expire."""

    def __init__(self, hold: Hold, job_cancelled: asyncio.Event, stopping: asyncio.Event) -> None:
        self._hold = hold
        self._job_cancelled = job_cancelled
        self._stopping = stopping
        self.reason: Halt | None = None
        self.halted = asyncio.Event()
        self.message = ""
        self._at = 0.0

    def halt(self, reason: Halt, message: str = "") -> None:
        """Stop, for this reason."""
        if self.reason in (None, Halt.PAUSED, Halt.STOPPING):
            self.reason, self.message = reason, message
            self._at = asyncio.get_running_loop().time()
            self.halted.set()

    @property
    def out_of_patience(self) -> bool:
        """Whether what is still under way has to be given up."""
        if self.reason not in _PATIENCE:
            return False
        return asyncio.get_running_loop().time() >= self._at + _PATIENCE[self.reason]

    async def watch(self) -> None:
        """Until cancelled: halt when the batch is cancelled, expires, or is no longer this run's."""
        left = (self._hold.batch.expires_at - datetime.now(UTC)).total_seconds()
        async with asyncio.TaskGroup() as watching:
            watching.create_task(self._when(self._hold.cancelling.wait(), Halt.CANCELLED))
            watching.create_task(self._when(self._hold.lost.wait(), Halt.LOST))
            watching.create_task(self._when(self._job_cancelled.wait(), Halt.GIVEN_BACK))
            watching.create_task(self._when(self._stopping.wait(), Halt.STOPPING))
            watching.create_task(self._when(asyncio.sleep(max(left, 0.0)), Halt.EXPIRED))

    async def _when(self, event: Awaitable[object], reason: Halt) -> None:
        await event
        self.halt(reason)
