"""Taking jobs from a queue: survives losing Redis, and gives jobs back when it has to stop before they are done."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bullmq
from bullmq.custom_errors import UnrecoverableError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aiapp_service.jobs.bull import prefix_of
from aiapp_service.jobs.cancelling import heed_cancellations
from aiapp_service.jobs.job import Handler
from aiapp_service.jobs.running import Ending, Run
from aiapp_service.jobs.taking import Taker

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
# For handlers that clean up, and for telling Redis.
GIVE_BACK_SECONDS = 5.0
BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MOST_SECONDS = 300.0
# A killed process is noticed after lock and check: its jobs are back after at most 18 s. A job that outlives three
# kills is more likely their cause.
_SETTINGS = {
    "lockDuration": 15_000,
    "stalledInterval": 3_000,
    "maxStalledCount": 3,
    "drainDelay": 1,
}


@dataclass(frozen=True)
class Pace:
    """How many jobs at once in this process, and how many in a time in all processes together; None: any number."""

    concurrency: int = 5
    most: int | None = None
    seconds: float = 1.0


class Consumer:
    """Runs `handler` for the jobs of one queue of an app, with a client of its own."""

    def __init__(
        self,
        queue: str,
        handler: Handler,
        opened: Callable[[], Redis],
        pace: Pace,
        rng: random.Random,
        app: str = "aiapp",
    ) -> None:
        self.queue = queue
        self._handler = handler
        self._opened = opened
        self._pace = pace
        self._rng = rng
        self._prefix = prefix_of(app)
        self._runs: dict[str, Run] = {}
        self._stopping = False
        self._worker: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to take jobs."""
        self._tasks = [asyncio.create_task(self._run(), name=f"consumer {self.queue}")]
        self._tasks.append(asyncio.create_task(self._heed(), name=f"cancellations {self.queue}"))

    @property
    def alive(self) -> bool:
        """Whether it takes jobs, or tries to."""
        return bool(self._tasks) and not self._tasks[0].done()

    @property
    def running(self) -> list[str]:
        """The ids of the jobs that run now."""
        return list(self._runs)

    async def drain(self, seconds: float) -> None:
        """Take no more jobs, let those that run end within `seconds`, give the others back to the queue."""
        self._stopping = True
        if self._worker is not None and self.alive:
            self._worker.stop()
            done, _ = await asyncio.wait(self._tasks[:1], timeout=seconds)
            if not done:
                for run in list(self._runs.values()):
                    run.end(Ending.GIVEN_BACK)
                await asyncio.wait(self._tasks[:1], timeout=GIVE_BACK_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping:
            try:
                async with self._opened() as client:
                    self._worker = self._new_worker(client)
                    await self._worker.run()
            except (RedisError, OSError) as error:
                log.warning("queue cannot be reached", extra={"queue": self.queue, "error": type(error).__name__})
            except asyncio.CancelledError:
                # The library lets through what a handler does to itself; only our own stop is meant.
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                log.exception("the job library stopped", extra={"queue": self.queue})
            if not self._stopping:
                await asyncio.sleep(RESTART_SECONDS)

    async def _heed(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with self._opened() as client:
                    await heed_cancellations(client, f"{self._prefix}:{self.queue}:", self._runs)
            await asyncio.sleep(RESTART_SECONDS)

    def _new_worker(self, client: Redis) -> Any:
        options: dict[str, Any] = {
            **_SETTINGS,
            "connection": client,
            "prefix": self._prefix,
            "concurrency": self._pace.concurrency,
            "settings": {"backoffStrategy": self._backoff},
        }
        if self._pace.most is not None:
            options["limiter"] = {"max": self._pace.most, "duration": int(1000 * self._pace.seconds)}
        worker = Taker(self.queue, self._process, options)
        worker.on("error", self._on_error)
        worker.on("failed", self._on_failed)
        worker.on("lockRenewalFailed", self._on_lost)
        return worker

    async def _process(self, raw: bullmq.Job, token: str) -> Any:
        run = self._runs[raw.id] = Run(raw, token, self._handler)
        try:
            return await run.result()
        finally:
            # A job that was lost may already be here again.
            if self._runs.get(raw.id) is run:
                del self._runs[raw.id]

    def _backoff(self, attempts: int, *_: object) -> int:
        """Milliseconds until the next try: exponential with full jitter."""
        most = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempts - 1, 16))
        return int(1000 * self._rng.uniform(0.0, most))

    def _on_lost(self, ids: list[str], *_: object) -> None:
        for job_id in ids:
            # One that has just ended is not ours any more either, and that is well.
            if (run := self._runs.get(job_id)) is not None:
                log.warning("job lost to another worker", extra={"queue": self.queue, "job": job_id})
                run.end(Ending.LOST)

    def _on_error(self, error: object, *_: object) -> None:
        log.warning("queue error", extra={"queue": self.queue, "error": type(error).__name__})

    def _on_failed(self, job: bullmq.Job, error: object) -> None:
        # What libraries say may quote what a job is about; what is refused is said in words of ours.
        text = str(error)[:300] if isinstance(error, UnrecoverableError) else type(error).__name__
        extra = {"queue": self.queue, "job": job.id, "attempt": job.attemptsMade, "error": text}
        log.warning("job failed", extra=extra)
