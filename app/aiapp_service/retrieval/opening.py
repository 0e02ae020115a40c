"""Vector stores of an app that has PostgreSQL. Nothing is loaded for one that has not."""

from typing import TYPE_CHECKING, Any

from aiapp_service.config import ServiceConfig
from aiapp_service.gateway import Gateway
from aiapp_service.llm.router import Router
from aiapp_service.surroundings import Surroundings

if TYPE_CHECKING:
    from aiapp_service.jobs.job import Handler, Job
    from aiapp_service.retrieval.ingestion import Ingestion
    from aiapp_service.retrieval.service import VectorStores


def vector_stores(config: ServiceConfig, router: Router, around: Surroundings) -> "VectorStores | None":
    """What the configuration has; nothing is connected yet. None without PostgreSQL."""
    if around.database is None or around.index is None:
        return None
    from aiapp_service.retrieval.service import VectorStores  # noqa: PLC0415  # for a light start

    return VectorStores(config, router, around, around.database, around.index)


def ingest(gateway: Gateway) -> "Handler":
    """The handler of the jobs that read files into vector stores; each job uses the configuration of its beginning."""
    found: list[Ingestion] = []

    async def handle(job: "Job") -> dict[str, Any]:
        if not found:
            from aiapp_service.retrieval.ingestion import Ingestion  # noqa: PLC0415  # for a light start

            found.append(Ingestion(lambda: gateway.current.vector_stores))
        return await found[0].handle(job)

    return handle
