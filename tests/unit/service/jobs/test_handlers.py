"""The registry of handlers, and how a job finds its own."""

from typing import Any

import pytest

from aiapp_service.jobs.handlers import REGISTRY, by_name
from aiapp_service.jobs.job import Job, JobCancelled, JobRefused
from aiapp_service.jobs.queues import KNOWN


def test_what_can_be_looked_at_is_what_can_be_served():
    assert tuple(REGISTRY) == KNOWN


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job("1", "other", {}, 1), "nothing handles jobs named 'other' here; known: one, two"),
        (Job("1", "one", ["no", "object"], 1), "data: has to be an object"),  # type: ignore[arg-type]
    ],
)
async def test_job_that_nobody_handles_is_refused(job: Job, words: str):
    async def handle(job: Job) -> Any:
        return job.name

    handler = by_name({"one": handle, "two": handle})
    assert await handler(Job("1", "two", {}, 1)) == "two"
    with pytest.raises(JobRefused, match=words):
        await handler(job)


async def test_job_outside_a_queue_can_be_handled_too():
    job = Job("1", "n", {}, 1)
    await job.progress(5)
    job.heed()
    job.cancelled.set()
    with pytest.raises(JobCancelled):
        job.heed()
