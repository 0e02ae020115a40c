"""`ai_queue_depth` and `ai_queue_oldest_age_seconds`: each queue is told of by one worker, whatever their number.

Workers compete for a short lease in Redis. Who holds it exports the series of the queue; the others have none, so
that an autoscaler which adds up what all pods say sees each job once.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from aiapp_service.jobs.queue import JobQueue
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
# Longer than two looks: a worker that is late keeps it, one that is gone is replaced soon.
LEASE_SECONDS = 12.0
_SOURCE = Path(__file__).with_name("depth.lua").read_text(encoding="utf-8")


class DepthMeter:
    """Tells of one queue while it holds the lease."""

    def __init__(self, queue: JobQueue, metrics: Metrics) -> None:
        self._queue = queue
        self._metrics = metrics
        self._name = uuid.uuid4().hex
        self._script = queue.client.register_script(_SOURCE)
        self._told_at: float | None = None

    async def look(self) -> None:
        """Take or keep the lease, and export what there is; else export nothing."""
        prefix = self._queue.prefix
        keys = [prefix + key for key in ("meter", "wait", "paused", "prioritized", "active", "delayed")]
        arguments: list[str | int] = [self._name, int(1000 * LEASE_SECONDS), int(1000 * time.time()), prefix]
        found: Any = None
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                found = await self._script(keys=keys, args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            log.info("depth cannot be asked", extra={"queue": self._queue.name, "error": type(error).__name__})
            # Nobody else has the lease before it runs out; after that, somebody may.
            if self._told_at is not None and time.monotonic() - self._told_at > LEASE_SECONDS:
                self.forget()
            return
        if found is None:
            self.forget()
            return
        depth, waited = found
        self._told_at = time.monotonic()
        self._metrics.queue_depth.labels(self._queue.name).set(int(depth))
        self._metrics.queue_oldest_age.labels(self._queue.name).set(max(0, int(waited)) / 1000)

    def forget(self) -> None:
        """Export nothing of the queue."""
        if self._told_at is not None:
            self._told_at = None
            self._metrics.queue_depth.remove(self._queue.name)
            self._metrics.queue_oldest_age.remove(self._queue.name)

    async def release(self) -> None:
        """Let another worker tell at once. Best effort: the lease runs out anyway."""
        key = self._queue.prefix + "meter"
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1):
                if self._told_at is not None and await self._queue.client.get(key) == self._name:
                    await self._queue.client.delete(key)
        self.forget()


async def watch(queues: Sequence[JobQueue], metrics: Metrics) -> None:
    """Tell of these queues until cancelled."""
    meters = [DepthMeter(queue, metrics) for queue in queues]
    try:
        while True:
            await asyncio.gather(*(meter.look() for meter in meters))
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await asyncio.gather(*(meter.release() for meter in meters))
