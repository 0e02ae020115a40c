"""The queue as producers use it: BullMQ behind our own types, so that nothing else knows of it.

Jobs run at least once: whatever a handler writes has to be the same when it runs twice.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from aiapp_service.jobs.bull import (
    ATTEMPTS,
    BACKOFF,
    KEEP_FAILED,
    KEEP_RESULT_SECONDS,
    MOST_KEEP_RESULT_SECONDS,
    MOST_KEPT,
    open_queue,
    prefix_of,
)
from aiapp_service.stores.breaker import StoreDown

DEADLINE_SECONDS = 5.0
MOST_IN_ONE_GO = 1000
MOST_PRIORITY = 999
MOST_DELAY_SECONDS = 366 * 24 * 3600.0
# The library runs 1 first, and jobs without a priority before all others: so that there can be higher ones than
# usual, each job gets one.
_USUAL_PRIORITY = 1000
# A bare number the library takes for its own, and a colon it uses itself.
_ID = re.compile(r"(?!\d+$)[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class WrongJob(ValueError):
    """A job that is not taken into the queue; the message names what is wrong with it."""


@dataclass(frozen=True)
class NewJob:
    """A job for `enqueue_many`; the fields are those of `enqueue`."""

    name: str
    data: Mapping[str, Any]
    job_id: str | None = None
    delay_seconds: float = 0
    priority: int = 0
    keep_result_seconds: float = KEEP_RESULT_SECONDS


class JobQueue:
    """One queue of an app. The client stays the caller's to close."""

    def __init__(self, name: str, client: Redis, app: str = "aiapp") -> None:
        self.name = name
        self.client = client
        self.prefix = f"{prefix_of(app)}:{name}:"
        self.bull = open_queue(name, client, app)

    async def enqueue(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        job_id: str | None = None,
        delay_seconds: float = 0,
        priority: int = 0,
        keep_result_seconds: float = KEEP_RESULT_SECONDS,
    ) -> str:
        """Add a job and give its id; by default that follows from name and data.

        While a job of that id waits or runs it is the same job, and not added twice. One that has ended is replaced.
        Higher priorities run first, from -1000 to 999. The result is kept for a time, 0: not at all.

        Raises:
            WrongJob: the data is no plain JSON, or another argument is out of its bounds.
            StoreDown: Redis does not answer. Trying again is safe.
        """
        job = NewJob(name, data, job_id, delay_seconds, priority, keep_result_seconds)
        known_as, options = _options(job)
        async with answering():
            await self.bull.add(name, data, options)
        return known_as

    async def enqueue_many(self, jobs: Iterable[NewJob]) -> list[str]:
        """Add many jobs, a thousand in one go, and give their ids; what `enqueue` says goes for each.

        Raises:
            WrongJob: one of them is not right; none is added.
            StoreDown: Redis does not answer; some may have been added. Trying again is safe.
        """
        entries, ids = [], []
        for job in jobs:
            known_as, options = _options(job)
            ids.append(known_as)
            entries.append({"name": job.name, "data": job.data, "opts": options})
        for start in range(0, len(entries), MOST_IN_ONE_GO):
            async with answering():
                await self.bull.addBulk(entries[start : start + MOST_IN_ONE_GO])
        return ids

    async def state(self, job_id: str) -> str:
        """waiting, active, delayed, completed, failed or unknown.

        Raises:
            StoreDown: Redis does not answer.
        """
        async with answering():
            if not await self.client.exists(self.prefix + job_id):
                return "unknown"
            state = str(await self.bull.getJobState(job_id))
        return "waiting" if state in {"prioritized", "waiting-children", "paused"} else state

    async def known(self, job_ids: Sequence[str]) -> dict[str, str | None]:
        """Of those that wait, run or have ended: None, or why one has failed. Others are not among them.

        Raises:
            StoreDown: Redis does not answer.
        """
        async with answering(), self.client.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(self.prefix + job_id, ("name", "finishedOn", "failedReason"))
            found = await pipeline.execute() if job_ids else []
        return {
            job_id: reason if finished is not None else None
            for job_id, (name, finished, reason) in zip(job_ids, found, strict=True)
            if name is not None
        }

    async def result(self, job_id: str) -> Any:
        """What the handler of a completed job gave; None for another one.

        Raises:
            StoreDown: Redis does not answer.
        """
        async with answering():
            job = await self.bull.getJob(job_id)
        return None if job is None else job.returnvalue

    async def failure(self, job_id: str) -> str:
        """Why a job failed; empty for one that has not.

        Raises:
            StoreDown: Redis does not answer.
        """
        async with answering():
            job = await self.bull.getJob(job_id)
        return str(job.failedReason or "") if job is not None else ""


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Turn a Redis that does not answer into StoreDown."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreDown(f"Redis does not answer: {type(error).__name__}") from error


def content_id(name: str, data: Mapping[str, Any]) -> str:
    """The id of a job that is given none: it follows from what the job is.

    Raises:
        WrongJob: the data is no plain JSON.
    """
    try:
        return f"job-{hashlib.sha256(_CANONICAL.encode([name, data]).encode()).hexdigest()[:40]}"
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongJob(f"the data of job {name} is no plain JSON: {error}") from error


def _options(job: NewJob) -> tuple[str, dict[str, Any]]:
    """The id of a job, and what the library is told of it."""
    if not job.name:
        raise WrongJob("name: a job needs one")
    # Also where an id is given: what cannot be written must not get half-way.
    from_content = content_id(job.name, job.data)
    if job.job_id is not None and not _ID.fullmatch(job.job_id):
        raise WrongJob("job_id: letters, digits, dots, hyphens and underscores, up to 128, and not only digits")
    if not -_USUAL_PRIORITY <= job.priority <= MOST_PRIORITY:
        raise WrongJob(f"priority: has to lie between {-_USUAL_PRIORITY} and {MOST_PRIORITY}")
    if not 0 <= job.delay_seconds <= MOST_DELAY_SECONDS:
        raise WrongJob(f"delay_seconds: has to lie between 0 and {MOST_DELAY_SECONDS:.0f}")
    if not 0 <= job.keep_result_seconds <= MOST_KEEP_RESULT_SECONDS:
        raise WrongJob(f"keep_result_seconds: has to lie between 0 and {MOST_KEEP_RESULT_SECONDS:.0f}")
    known_as = from_content if job.job_id is None else job.job_id
    age = job.keep_result_seconds
    options: dict[str, Any] = {
        "jobId": known_as,
        "attempts": ATTEMPTS,
        "backoff": {"type": BACKOFF},
        "priority": _USUAL_PRIORITY - job.priority,
        "removeOnComplete": {"age": age, "count": MOST_KEPT} if age else True,
        "removeOnFail": KEEP_FAILED,
    }
    if job.delay_seconds > 0:
        options["delay"] = max(1, round(1000 * job.delay_seconds))
    return known_as, options
