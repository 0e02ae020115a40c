"""Taking jobs from a queue: survives losing Redis, and gives jobs back when it has to stop before they are done."""

import asyncio
import logging
import random
import time
from typing import Any

import bullmq
from bullmq.custom_errors import DelayedError, UnrecoverableError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aiapp_service.jobs.queue import KEEP_DONE, KEEP_FAILED, Handler, Job, JobRefused

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MOST_SECONDS = 300.0
# A killed process is noticed after lock and check: its jobs are back after about 15 s. A job that outlives three
# kills is more likely their cause.
_SETTINGS = {
    "lockDuration": 15_000,
    "stalledInterval": 5_000,
    "maxStalledCount": 3,
    "drainDelay": 1,
    "runRetryDelay": 1_000,
    "removeOnComplete": KEEP_DONE,
    "removeOnFail": KEEP_FAILED,
}


class Consumer:
    """Runs `handler` for the jobs of one queue, `concurrency` at a time. The client stays the caller's to close."""

    def __init__(self, queue: str, handler: Handler, client: Redis, concurrency: int, rng: random.Random) -> None:
        self.queue = queue
        self._handler = handler
        self._client = client
        self._concurrency = concurrency
        self._rng = rng
        self._give_back = asyncio.Event()
        self._stopping = False
        self._worker: Any = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take jobs."""
        self._task = asyncio.create_task(self._run(), name=f"consumer {self.queue}")

    @property
    def alive(self) -> bool:
        """Whether it takes jobs, or tries to."""
        return self._task is not None and not self._task.done()

    async def drain(self, seconds: float) -> None:
        """Take no more jobs, let those that run end within `seconds`, give the others back to the queue."""
        self._stopping = True
        if self._worker is not None:
            closing = asyncio.create_task(self._worker.close())
            done, _ = await asyncio.wait({closing}, timeout=seconds)
            if not done:
                self._give_back.set()
            await closing
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping:
            self._worker = self._new_worker()
            try:
                # Without its version the library takes delays of less than a second for none.
                await self._worker.blockingRedisConnection.getRedisVersion()
                await self._worker.run()
            except (RedisError, OSError) as error:
                log.warning("queue cannot be reached", extra={"queue": self.queue, "error": type(error).__name__})
            if not self._stopping:
                await asyncio.sleep(RESTART_SECONDS)

    def _new_worker(self) -> Any:
        settings = {"backoffStrategy": self._backoff}
        options = {**_SETTINGS, "connection": self._client, "concurrency": self._concurrency, "autorun": False}
        worker = bullmq.Worker(self.queue, self._process, {**options, "settings": settings})
        worker.on("error", self._on_error)
        worker.on("failed", self._on_failed)
        return worker

    async def _process(self, job: bullmq.Job, token: str) -> Any:
        work = asyncio.ensure_future(self._handler(Job(job.id, job.name, job.data, job.attemptsMade + 1)))
        stop = asyncio.ensure_future(self._give_back.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return _result(work)
            await job.moveToDelayed(int(time.time() * 1000), token)
            log.info("job given back", extra={"queue": self.queue, "job": job.id})
            raise DelayedError
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)

    def _backoff(self, attempts: int, *_: object) -> int:
        """Milliseconds until the next try: exponential with full jitter."""
        most = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempts - 1, 16))
        return int(1000 * self._rng.uniform(0.0, most))

    def _on_error(self, error: object, *_: object) -> None:
        log.warning("queue error", extra={"queue": self.queue, "error": type(error).__name__})

    def _on_failed(self, job: bullmq.Job, error: object) -> None:
        extra = {"queue": self.queue, "job": job.id, "attempt": job.attemptsMade, "error": str(error)[:300]}
        log.warning("job failed", extra=extra)


def _result(work: "asyncio.Future[Any]") -> Any:
    """What the handler gave. A cancellation must not get out: the library would stop for good, without a word."""
    if work.cancelled():
        raise RuntimeError("the job was cancelled")
    error = work.exception()
    if isinstance(error, JobRefused):
        raise UnrecoverableError(str(error)) from error
    return work.result()
