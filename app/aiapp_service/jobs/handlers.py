"""Who does the jobs: queue -> name of the job -> factory of its handler. A new kind of job is one line here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiapp_service.gateway import Gateway
from aiapp_service.jobs import embeddings
from aiapp_service.jobs.job import Handler, Job, JobRefused
from aiapp_service.jobs.queues import Queues
from aiapp_service.retrieval.opening import ingest
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aiapp_service.billing.ledger import Ledger
    from aiapp_service.stores.postgres import Database


@dataclass(frozen=True)
class Parts:
    """What a handler may use. It outlives changes of the configuration: ask `gateway.current` in each job."""

    gateway: Gateway
    around: Surroundings
    queues: Queues

    @property
    def metrics(self) -> Metrics:
        """The metrics of the process."""
        return self.around.metrics

    @property
    def ledger(self) -> "Ledger | None":
        """Where usage is noted; None without PostgreSQL."""
        return self.around.ledger

    @property
    def database(self) -> "Database | None":
        """The app's PostgreSQL, if it has one."""
        return self.around.database


Factory = Callable[[Parts], Handler]

REGISTRY: Mapping[str, Mapping[str, Factory]] = {
    "embeddings": {
        "embed": lambda parts: embeddings.handler(parts.gateway, parts.metrics, parts.ledger),
        "ingest": lambda parts: ingest(parts.gateway),
    },
    "batches": {},
    "fine-tune": {},
}


def known_queues() -> list[str]:
    """The queues that a worker can serve."""
    return [queue for queue, kinds in REGISTRY.items() if kinds]


def handlers_of(queues: Iterable[str], parts: Parts) -> dict[str, Handler]:
    """For each of `queues` the handler of all its jobs."""
    return {queue: by_name({name: make(parts) for name, make in REGISTRY[queue].items()}) for queue in queues}


def by_name(kinds: Mapping[str, Handler]) -> Handler:
    """A handler that passes each job to the one for its name, and refuses those that nobody handles."""

    async def handle(job: Job) -> Any:
        handler = kinds.get(job.name)
        if handler is None:
            raise JobRefused(f"nothing handles jobs named {job.name[:100]!r} here; known: {', '.join(kinds)}")
        # Other programs may add anything.
        if not isinstance(job.data, dict):
            raise JobRefused("data: has to be an object")
        return await handler(job)

    return handle
