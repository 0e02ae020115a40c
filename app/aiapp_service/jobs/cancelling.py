"""Cancelling a job, wherever it is: one that waits is removed, one that runs is told through Redis.

A running job gets the mark with which the library itself defers a failure: whoever takes it next, after a crash for
example, fails it without running it. The worker that has it now hears of it at once.
"""

from collections.abc import Mapping
from enum import StrEnum

from redis.asyncio import Redis

from aiapp_service.jobs.queue import JobQueue, answering
from aiapp_service.jobs.running import Ending, Run

REASON = "the job was cancelled"
# Shorter than the socket's own deadline.
_LISTEN_SECONDS = 5.0
_MARK = "defa"
_MARK_AND_TELL = """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'finishedOn') == 1 then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
"""


class Cancelled(StrEnum):
    """What cancelling did."""

    REMOVED = "removed"  # it waited; it is gone
    ASKED = "asked"  # it runs; its worker has been told
    TOO_LATE = "too late"  # it has ended, or there is no such job


async def cancel(queue: JobQueue, job_id: str) -> Cancelled:
    """Cancel a job.

    Raises:
        StoreDown: Redis does not answer. Trying again is safe.
    """
    async with answering():
        state = str(await queue.bull.getJobState(job_id))
        if state in {"completed", "failed", "unknown"}:
            return Cancelled.TOO_LATE
        if state != "active" and await queue.bull.remove(job_id):
            return Cancelled.REMOVED
        arguments = (_MARK, REASON, _channel(queue.prefix), job_id)
        marked = await queue.client.register_script(_MARK_AND_TELL)(keys=[queue.prefix + job_id], args=arguments)
        return Cancelled.ASKED if marked else Cancelled.TOO_LATE


async def heed_cancellations(client: Redis, prefix: str, runs: Mapping[str, Run]) -> None:
    """End each of `runs` whose cancellation is heard of. Until cancelled.

    Raises:
        RedisError, OSError: the connection is lost; call it again.
    """
    async with client.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe(_channel(prefix))
        # What was said while nobody listened.
        for job_id in list(runs):
            if await client.hexists(prefix + job_id, _MARK):
                _end(runs, job_id)
        while True:
            message = await heard.get_message(timeout=_LISTEN_SECONDS)
            if message is not None:
                _end(runs, str(message["data"]))


def _end(runs: Mapping[str, Run], job_id: str) -> None:
    if (run := runs.get(job_id)) is not None:
        run.end(Ending.CANCELLED)


def _channel(prefix: str) -> str:
    return f"{prefix}cancelled"
