"""The queue `batches`: jobs named `batch`, with data {"batch": NAME}."""

from aiapp_service.batches.hold import HoldLost, held, seconds_left
from aiapp_service.batches.run import BatchRun, Workshop
from aiapp_service.jobs.job import Handler, Job, JobPostponed, JobRefused
from aiapp_service.stores.breaker import StoreDown, StoreRefused

# Until a store is looked at again that was down.
RETRY_SECONDS = 5.0
_SOON_SECONDS = 0.5


def handler(shop: Workshop) -> Handler:
    """The handler; a batch that has to wait, or that another worker has, comes again."""

    async def handle(job: Job) -> None:
        name = job.data.get("batch")
        if not isinstance(name, str):
            raise JobRefused("batch: has to be the name of a batch")
        try:
            wait = await _work(shop, name, job)
        except HoldLost:
            wait = RETRY_SECONDS
        except (StoreDown, StoreRefused) as error:
            raise JobPostponed(RETRY_SECONDS) from error
        if wait is not None:
            raise JobPostponed(max(wait, _SOON_SECONDS))

    return handle


async def _work(shop: Workshop, name: str, job: Job) -> float | None:
    async with held(shop.database, name) as hold:
        if hold is not None:
            return await BatchRun(shop, hold, job.cancelled).run()
    return await seconds_left(shop.database, name)
