"""Files that wait to be read though no job is there for it: whoever put them into their store was killed before it
could add one, or Redis has lost it. Their jobs are added again.

A job that has failed without a word to PostgreSQL, because each worker that had it was killed, fails its file.
"""

import asyncio

from aiapp_service.jobs import lost
from aiapp_service.jobs.handlers import Parts
from aiapp_service.jobs.queue import NewJob
from aiapp_service.retrieval.service import QUEUE, VectorStores, reading

LOOK_SECONDS = 20.0
# Whoever puts a file into a store adds its job within this time, or tells its client that it could not.
FORGOTTEN_SECONDS = 30.0
_MOST = 1000


def watches(parts: Parts) -> list[asyncio.Task[None]]:
    """What runs beside the jobs of the queue."""
    if parts.database is None:
        return []

    async def forgotten() -> list[NewJob]:
        stores = parts.gateway.current.vector_stores
        return [] if stores is None else await look(stores)

    return [asyncio.create_task(lost.watch(forgotten, parts.queues[QUEUE], LOOK_SECONDS, parts.around.rng))]


async def look(stores: VectorStores, seconds: float = FORGOTTEN_SECONDS) -> list[NewJob]:
    """The jobs that have to be added; files whose jobs have failed are told to have.

    Raises:
        StoreDown: a store does not answer.
    """
    unread = await stores.pending.unread(seconds, _MOST)
    jobs = [reading(one.tenant, one.file, one.key) for one in unread]
    known = await stores.queues[QUEUE].known([str(job.job_id) for job in jobs])
    missing = []
    for one, job in zip(unread, jobs, strict=True):
        name = str(job.job_id)
        if name not in known:
            missing.append(job)
        elif (reason := known[name]) is not None:
            await stores.files.end(one.file, "failed", "server_error", f"given up: {reason[:300]}")
    return missing
