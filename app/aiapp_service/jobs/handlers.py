"""Who does the jobs: queue -> name of the job -> factory of its handler. A new kind of job is one line here."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # the process is about to end

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


def _batches(parts: Parts) -> Handler:
    from aiapp_service.batches.setup import batches  # noqa: PLC0415  # for a light start

    return batches(parts)


def _batch_watches(parts: Parts) -> "list[asyncio.Task[None]]":
    from aiapp_service.batches.setup import watches  # noqa: PLC0415  # for a light start

    return watches(parts)


def _fine_tuning(parts: Parts) -> Handler:
    from aiapp_service.finetuning.setup import fine_tuning  # noqa: PLC0415  # for a light start

    return fine_tuning(parts)


def _fine_tuning_watches(parts: Parts) -> "list[asyncio.Task[None]]":
    from aiapp_service.finetuning.setup import watches  # noqa: PLC0415  # for a light start

    return watches(parts)


def _ingestion_watches(parts: Parts) -> "list[asyncio.Task[None]]":
    from aiapp_service.retrieval.forgotten import watches  # noqa: PLC0415  # for a light start

    return watches(parts)


REGISTRY: Mapping[str, Mapping[str, Factory]] = {
    "embeddings": {
        "embed": lambda parts: embeddings.handler(parts.gateway, parts.metrics, parts.ledger),
        "ingest": lambda parts: ingest(parts.gateway),
    },
    "batches": {"batch": _batches},
    "fine-tune": {"fine-tuning": _fine_tuning},
}

# What runs beside the jobs of a queue.
WATCHES: "Mapping[str, Callable[[Parts], list[asyncio.Task[None]]]]" = {
    "embeddings": _ingestion_watches,
    "batches": _batch_watches,
    "fine-tune": _fine_tuning_watches,
}


def watches_of(queues: Iterable[str], parts: Parts) -> "list[asyncio.Task[None]]":
    """Tasks that run until they are cancelled."""
    return [task for queue in queues if queue in WATCHES for task in WATCHES[queue](parts)]


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
