"""Looking at the jobs of a queue, and giving failed ones another chance.

What a job is about, its data and its result, belongs to a tenant: it is not among what is told of a job here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from aiapp_service.jobs.queue import JobQueue, answering

MOST_LISTED = 100
_FIELDS = ("name", "timestamp", "processedOn", "finishedOn", "failedReason", "progress", "atm")
_KEPT_OF_REASON = 500


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    DELAYED = "delayed"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True)
class JobRecord:
    """What is told of a job; times are ISO 8601, empty: not yet."""

    id: str
    queue: str
    name: str
    state: str
    attempts: int
    created_at: str
    started_at: str
    finished_at: str
    error: str
    progress: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"object": "job", **asdict(self)}


async def counts(queue: JobQueue) -> dict[str, int]:
    """How many jobs there are, by state.

    Raises:
        StoreDown: Redis does not answer.
    """
    async with answering():
        found = await queue.bull.getJobCounts(
            "waiting", "paused", "prioritized", "delayed", "active", "completed", "failed"
        )
    waiting = sum(int(found[name]) for name in ("waiting", "paused", "prioritized"))
    others = (state for state in JobState if state is not JobState.WAITING)
    return {"waiting": waiting, **{str(state): int(found[state]) for state in others}}


async def find(queue: JobQueue, job_id: str) -> JobRecord | None:
    """One job; None: it is not there, or no longer.

    Raises:
        StoreDown: Redis does not answer.
    """
    state = await queue.state(job_id)
    return next(iter(await _records(queue, state, [job_id])), None)


async def listed(queue: JobQueue, state: JobState, start: int, count: int) -> list[JobRecord]:
    """Jobs in a state, from the `start`th: those that run next first, of those that have ended the last first.

    Raises:
        StoreDown: Redis does not answer.
    """
    async with answering():
        ids = await _ids(queue, state, start, start + min(count, MOST_LISTED) - 1)
    return await _records(queue, state, ids)


async def redrive(queue: JobQueue, job_id: str) -> bool:
    """Let a failed job run again, with all its attempts; false: it is not among the failed ones.

    Raises:
        StoreDown: Redis does not answer. Trying again is safe.
    """
    async with answering():
        job = await queue.bull.getJob(job_id)
        if job is None:
            return False
        # A job that failed for having outlived too many workers may do so again.
        await queue.client.hdel(queue.prefix + job_id, "stc")
        try:
            await job.retry("failed", {"resetAttemptsMade": True, "resetAttemptsStarted": True})
        except TypeError:
            return False
    return True


async def redrive_all(queue: JobQueue) -> int:
    """Let all jobs run again that have failed until now; gives how many.

    Raises:
        StoreDown: Redis does not answer; some of them may run again already.
    """
    async with answering():
        ids = await queue.client.zrange(f"{queue.prefix}failed", 0, -1)
    return sum([await redrive(queue, str(job_id)) for job_id in ids])


async def drop_waiting(queue: JobQueue) -> int:
    """Remove all jobs that wait or are delayed, for good; gives how many there were.

    Raises:
        StoreDown: Redis does not answer.
    """
    before = await counts(queue)
    async with answering():
        await queue.bull.drain(True)
    return before["waiting"] + before["delayed"]


async def content(queue: JobQueue, job_id: str) -> dict[str, Any]:
    """Data and result of a job, for whoever may read the app's Redis anyway.

    Raises:
        StoreDown: Redis does not answer.
    """
    async with answering():
        job = await queue.bull.getJob(job_id)
    return {} if job is None else {"data": job.data, "result": job.returnvalue}


async def _ids(queue: JobQueue, state: JobState, first: int, last: int) -> list[str]:
    client, key = queue.client, queue.prefix + state
    found: Any
    if state is JobState.DELAYED:
        found = await client.zrange(key, first, last)
    elif state in {JobState.COMPLETED, JobState.FAILED}:
        found = await client.zrevrange(key, first, last)
    elif state is JobState.ACTIVE:
        found = await client.lrange(key, first, last)
    else:
        found = await _waiting(queue, first, last)
    return list(found)


async def _waiting(queue: JobQueue, first: int, last: int) -> list[Any]:
    # Those without a priority, which other programs add, run before all others, from the end of their list.
    plain, others = f"{queue.prefix}wait", f"{queue.prefix}prioritized"
    ahead = int(await queue.client.llen(plain))
    found: list[Any] = []
    if first < ahead:
        found += list(await queue.client.lrange(plain, -1 - last, -1 - first))[::-1]
    if last >= ahead:
        found += await queue.client.zrange(others, max(0, first - ahead), last - ahead)
    return found


async def _records(queue: JobQueue, state: str, ids: Sequence[str]) -> list[JobRecord]:
    async with answering(), queue.client.pipeline(transaction=False) as pipeline:
        for job_id in ids:
            pipeline.hmget(queue.prefix + job_id, _FIELDS)
        found = await pipeline.execute() if ids else []
    known = [(job_id, dict(zip(_FIELDS, values, strict=True))) for job_id, values in zip(ids, found, strict=True)]
    return [_record(queue.name, state, job_id, fields) for job_id, fields in known if fields["name"] is not None]


def _record(queue: str, state: str, job_id: str, fields: Mapping[str, str | None]) -> JobRecord:
    return JobRecord(
        id=job_id,
        queue=queue,
        name=fields["name"] or "",
        state=state,
        attempts=int(fields["atm"] or 0),
        created_at=_time(fields["timestamp"]),
        started_at=_time(fields["processedOn"]),
        finished_at=_time(fields["finishedOn"]),
        error=(fields["failedReason"] or "")[:_KEPT_OF_REASON],
        progress=fields["progress"] or "0",
    )


def _time(milliseconds: str | None) -> str:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC).isoformat() if milliseconds else ""
