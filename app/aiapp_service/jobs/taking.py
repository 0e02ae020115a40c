"""The library's worker with a loop of our own: one slot for each job that may run at once.

The library's loop takes each job by a call of its own; here the call that ends a job brings the next one. And when it
stops, the library ends its loop with the first job that is done: the locks of the others are no longer renewed, and
jobs that were just taken are left behind. Here the loop ends when the last job has.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import bullmq
from bullmq.custom_errors import DelayedError, UnrecoverableError, WaitingChildrenError
from bullmq.timer import Timer
from redis.asyncio import Redis

from aiapp_service.jobs.bull import keep_results

RETRY_SECONDS = 1.0
# How long the end of a job is told again to a Redis that does not answer; its lock has run out by then.
_TELL_AGAIN = 15
# Redis does one thing at a time anyway, and its client refuses more than a hundred connections.
_LINES = 32


class Taker(bullmq.Worker):  # type: ignore[misc]  # the library has no types
    """Takes jobs and runs `processor` for them, until `stop`."""

    def __init__(self, name: str, processor: Callable[[Any, str], Awaitable[Any]], options: dict[str, Any]) -> None:
        super().__init__(name, processor, {**options, "autorun": False})
        client: Redis = options["connection"]
        keep_results(self, client)
        self._turn = asyncio.Lock()
        self._lines = asyncio.Semaphore(_LINES)
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`, and then until the jobs that run have ended.

        Raises:
            RedisError, OSError: Redis does not answer at the start; later on it is waited for.
        """
        # Without its version the library takes delays of less than a second for none.
        await self.blockingRedisConnection.getRedisVersion()
        await self._ensure_client_names()
        self.lockManager.start()
        self.stalledCheckTimer = Timer(self.opts["stalledInterval"] / 1000, self.runStalledJobsCheck, self.emit)
        self.running = True
        try:
            async with asyncio.TaskGroup() as slots:
                for number in range(self.opts["concurrency"]):
                    slots.create_task(self._slot(f"{self.id}:{number}"))
        finally:
            self.running = False
            self.stalledCheckTimer.stop()
            await self.lockManager.close()

    def stop(self) -> None:
        """Take no more jobs."""
        self.closing = True
        self._stopped.set()
        if self.waiting:
            self.waiting.cancel()

    async def _slot(self, token: str) -> None:
        job: Any = None
        while job is not None or not self.closing:
            try:
                job = await self._taken(token) if job is None else await self._done(job, token)
            except Exception as error:  # noqa: BLE001  # a slot that ends would be missing for ever
                job = None
                self.emit("error", error)

    async def _taken(self, token: str) -> Any:
        # Where there is nothing to do, or no Redis, one slot waits for all.
        async with self._turn:
            if self.limitUntil > 0:
                await self._rest(min(self.limitUntil / 1000, RETRY_SECONDS))
                self.drained = False
            try:
                return None if self.closing else await self.getNextJob(token)
            except Exception as error:  # noqa: BLE001  # whatever it is, Redis is asked again
                self.emit("error", error)
                await self._rest(RETRY_SECONDS)
                return None

    async def _done(self, job: Any, token: str) -> Any:
        """Run a job, tell how it ended; gives the next one, if there is one."""
        self.lockManager.track_job(job.id, token, int(time.time() * 1000))
        try:
            if job.deferredFailure:
                raise UnrecoverableError(job.deferredFailure)
            result = await self.processor(job, token)
        except (DelayedError, WaitingChildrenError):
            return None
        except Exception as error:  # noqa: BLE001  # whatever a handler raises means that the job failed
            return await self._failed(job, token, error)
        else:
            try:
                found = await self._tell(lambda: job.moveToCompleted(result, token, not self.closing))
            except ValueError as error:  # the result is no plain JSON
                return await self._failed(job, token, error)
            return await self._next(found, token)
        finally:
            self.lockManager.untrack_job(job.id)

    async def _failed(self, job: Any, token: str, error: Exception) -> Any:
        await self._tell(lambda: job.moveToFailed(error, token))
        self.emit("failed", job, error)

    async def _tell(self, end: Callable[[], Awaitable[Any]]) -> Any:
        """Tell how a job ended, if need be when Redis is back: what was done should not be done again."""
        for attempt in range(_TELL_AGAIN):
            try:
                async with self._lines:
                    return await end()
            except Exception as error:  # the library alone knows which of them a new connection mends
                if not self.isConnectionError(error) or attempt + 1 == _TELL_AGAIN:
                    raise
            await asyncio.sleep(RETRY_SECONDS)
        return None

    async def _next(self, found: Any, token: str) -> Any:
        if not found or not found[0]:
            return None
        return await self.nextJobFromJobData(*found, token)

    async def _rest(self, seconds: float) -> None:
        """Wait, or until `stop`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
