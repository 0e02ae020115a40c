"""The queue: BullMQ behind our own types, so that nothing else knows of it.

Jobs run at least once: whatever a handler writes has to be the same when it runs twice.
"""

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import bullmq
from redis.asyncio import Redis

ATTEMPTS = 5
KEEP_DONE = {"count": 1000, "age": 3600}
KEEP_FAILED = {"age": 14 * 24 * 3600}
BACKOFF = "full-jitter"
# BullMQ keeps a delayed job's time in milliseconds, shifted to make room for a counter.
_DELAY_SHIFT = 0x1000
_PREFIX = "bull"


class JobRefused(Exception):
    """A job that can never succeed: it goes to the failed ones at once. The message says what is wrong with it."""


@dataclass(frozen=True)
class Job:
    """One job as a handler sees it. `attempt` counts from 1."""

    id: str
    name: str
    data: Mapping[str, Any]
    attempt: int


Handler = Callable[[Job], Awaitable[Any]]


class JobQueue:
    """One queue, as producers use it. The client stays the caller's to close."""

    def __init__(self, name: str, client: Redis) -> None:
        self.name = name
        self._client = client
        self._queue = bullmq.Queue(name, {"connection": client, "prefix": _PREFIX})

    async def enqueue(self, name: str, data: Mapping[str, Any]) -> str:
        """Add a job and give its id. The same name and data are the same job: it is not added twice."""
        job_id = content_id(name, data)
        options = {
            "jobId": job_id,
            "attempts": ATTEMPTS,
            "backoff": {"type": BACKOFF},
            "removeOnComplete": KEEP_DONE,
            "removeOnFail": KEEP_FAILED,
        }
        await self._queue.add(name, dict(data), options)
        return job_id

    async def depth(self) -> int:
        """Jobs that wait, run, or are due."""
        counts = await self._queue.getJobCounts("waiting", "prioritized", "active")
        now = int(time.time() * 1000)
        due = await self._client.zcount(f"{_PREFIX}:{self.name}:delayed", "-inf", now * _DELAY_SHIFT)
        return sum(int(count) for count in counts.values()) + int(due)

    async def state(self, job_id: str) -> str:
        """waiting, active, delayed, completed, failed or unknown."""
        return str(await self._queue.getJobState(job_id))

    async def result(self, job_id: str) -> Any:
        """What the handler of a completed job gave; None for another one."""
        job = await self._queue.getJob(job_id)
        return None if job is None else job.returnvalue

    async def failure(self, job_id: str) -> str:
        """Why a job failed; empty for one that has not."""
        job = await self._queue.getJob(job_id)
        return str(job.failedReason or "") if job is not None else ""


def content_id(name: str, data: Mapping[str, Any]) -> str:
    """The id of a job: follows from what it is. Never a bare number, which the library takes for its own."""
    text = json.dumps([name, data], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"job-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
