"""A job as a handler sees it, and what a handler may raise to say how it ends.

Exception                              the job
----------------------------------     --------------------------------------------------------
none                                   is completed; what the handler returns is its result
JobRefused                             fails at once: trying again could not help
JobPostponed                           comes again later; the attempt is not counted
JobCancelled                           fails at once, as one that was cancelled
any other                              is tried again with backoff, up to its attempts, then fails
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Report = Callable[[Any], Awaitable[None]]


class JobRefused(Exception):
    """A job that can never succeed: it goes to the failed ones at once. The message says what is wrong with it."""


class JobCancelled(Exception):
    """The handler has stopped because its job was cancelled."""


class JobLost(JobCancelled):
    """Another worker has taken the job over: whatever it is about is that one's now."""


class JobPostponed(Exception):
    """Nothing to do yet: the job comes again after `seconds`, which costs it no attempt. For jobs that poll."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"comes again in {seconds:g} s")
        self.seconds = max(0.0, seconds)


async def _nobody_listens(_value: Any) -> None:
    return


@dataclass(frozen=True)
class Job:
    """One job as a handler sees it. `attempt` counts from 1, `id` is the same in each of them.

    `cancelled` is set when somebody has cancelled the job, or when another worker has taken it over because this one
    was not heard of, then `lost` is, too: `heed` looks at them between steps. A handler that has not ended ten seconds
    later is cancelled where it waits.
    """

    id: str
    name: str
    data: Mapping[str, Any]
    attempt: int
    cancelled: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    lost: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    report: Report = field(default=_nobody_listens, repr=False, compare=False)

    async def progress(self, value: int | Mapping[str, Any]) -> None:
        """Tell how far the job is: a percentage, or an object of plain JSON.

        Raises:
            JobLost: the job is no longer this worker's.
            ValueError: the value is no plain JSON.
        """
        await self.report(value)

    def heed(self) -> None:
        """Raise JobCancelled when the job has been cancelled, JobLost when it is another worker's."""
        if self.lost.is_set():
            raise JobLost("another worker has taken the job over")
        if self.cancelled.is_set():
            raise JobCancelled("the job was cancelled")


Handler = Callable[[Job], Awaitable[Any]]
