"""One job while its handler runs: how it ends, and what may end it before that."""

import asyncio
import logging
import time
from enum import StrEnum
from typing import Any

import bullmq
from bullmq.custom_errors import DelayedError, UnrecoverableError

from aiapp_service.jobs.bull import ATTEMPTS, BACKOFF, KEEP_DONE, KEEP_FAILED
from aiapp_service.jobs.job import Handler, Job, JobCancelled, JobLost, JobPostponed, JobRefused

log = logging.getLogger(__name__)

# How long a handler may take to see that its job was cancelled, and to clean up after it is cancelled itself.
HEED_SECONDS = 10.0
CLEAN_UP_SECONDS = 2.0


class Ending(StrEnum):
    """Why a job ends before its handler does."""

    CANCELLED = "cancelled"
    LOST = "lost"  # another worker has it
    GIVEN_BACK = "given back"  # this process stops


class Run:
    """A job, its handler, and the library's side of both."""

    def __init__(self, raw: bullmq.Job, token: str, handler: Handler) -> None:
        self._raw = raw
        self._token = token
        self._handler = handler
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._why: Ending | None = None
        self.job = Job(raw.id, raw.name, raw.data, raw.attemptsMade + 1, report=self._report)

    def end(self, why: Ending) -> None:
        """End it before its time; the first reason counts, but for a process that stops."""
        if self._why is None or why is Ending.GIVEN_BACK:
            self._why = self._why or why
            if why is Ending.LOST:
                self.job.lost.set()
            if why is not Ending.GIVEN_BACK:
                self.job.cancelled.set()
            if not self._ending.done():
                self._ending.set_result(None)

    async def result(self) -> Any:
        """What the handler gives, as the library takes it.

        Raises:
            UnrecoverableError: not to be tried again.
            DelayedError: the library is to leave the job alone: it is in the queue again, or somebody else's.
            Exception: the handler's; to be tried again.
        """
        _complete(self._raw)
        work = asyncio.ensure_future(self._handler(self.job))
        try:
            await asyncio.wait((work, self._ending), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await self._stop(work)
            return await self._outcome(work)
        finally:
            if not work.done():
                work.cancel()

    async def _stop(self, work: "asyncio.Future[Any]") -> None:
        if self._why is not Ending.GIVEN_BACK:
            await asyncio.wait((work,), timeout=HEED_SECONDS)
        if not work.done():
            work.cancel()
            await asyncio.wait((work,), timeout=CLEAN_UP_SECONDS)

    async def _outcome(self, work: "asyncio.Future[Any]") -> Any:
        """A cancellation must not get out: the library would stop for good, without a word."""
        ended = work.done() and not work.cancelled()
        error = work.exception() if ended else None
        if self._why is Ending.LOST:
            raise DelayedError
        if ended and error is None:
            return work.result()
        if self._why is Ending.CANCELLED or isinstance(error, JobCancelled):
            raise UnrecoverableError("the job was cancelled")
        if self._why is Ending.GIVEN_BACK:
            await self._come_again(0.0)
            log.info("job given back", extra={"job": self.job.id})
        if isinstance(error, JobPostponed):
            await self._come_again(error.seconds)
        if isinstance(error, JobRefused):
            raise UnrecoverableError(str(error)) from error
        raise error if isinstance(error, Exception) else RuntimeError("the handler was cancelled")

    async def _come_again(self, seconds: float) -> None:
        await self._raw.moveToDelayed(int(1000 * (time.time() + seconds)), self._token)
        raise DelayedError

    async def _report(self, value: Any) -> None:
        # The library takes it from anybody, also from one that has lost the job.
        if self._why is Ending.LOST:
            raise JobLost("another worker has taken the job over")
        await self._raw.updateProgress(value)


def _complete(raw: bullmq.Job) -> None:
    """What other programs that add jobs left out is as for ours."""
    # Each kept result has its own time; this is the limit of the queue.
    if raw.opts.get("removeOnComplete") is not True:
        raw.opts["removeOnComplete"] = KEEP_DONE
    raw.opts.setdefault("removeOnFail", KEEP_FAILED)
    if not raw.opts.get("attempts"):
        raw.opts["attempts"] = raw.attempts = ATTEMPTS
    if not raw.opts.get("backoff"):
        raw.opts["backoff"] = {"type": BACKOFF}
