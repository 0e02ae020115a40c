"""Vector stores of a process, for an app that has PostgreSQL. Nothing is loaded for one that has not."""

from typing import TYPE_CHECKING

from aiapp_service.gateway import Gateway
from aiapp_service.surroundings import Surroundings

if TYPE_CHECKING:
    from aiapp_service.jobs.job import Handler
    from aiapp_service.retrieval.service import VectorStores


def vector_stores(gateway: Gateway, around: Surroundings) -> "VectorStores | None":
    """What the configuration has; nothing is connected yet. None without PostgreSQL."""
    if around.database is None:
        return None
    from aiapp_service.retrieval.service import VectorStores  # noqa: PLC0415
    from aiapp_service.retrieval.setup import open_index  # noqa: PLC0415

    return VectorStores(gateway, around, around.database, open_index(gateway.current.config, around.database))


def ingest(gateway: Gateway, around: Surroundings) -> "Handler":
    """The handler of the jobs that read files into vector stores."""
    from aiapp_service.retrieval.ingestion import handler, refuse  # noqa: PLC0415

    stores = vector_stores(gateway, around)
    return refuse if stores is None else handler(stores)
