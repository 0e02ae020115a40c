"""The stores of a configuration, opened so that their health can be asked for.

Drivers are imported where they are needed: a service without databases starts without them.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, Self

from aiapp_service.config import ServiceConfig


class Probe(Protocol):
    """One dependency."""

    async def check(self) -> Mapping[str, Any] | None:
        """What is to be told of it beside that it answers. Raises whatever the driver raises when it does not."""

    async def close(self) -> None:
        """Give up its connections."""


class Probes:
    """Dependencies by name, closed together."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes

    @property
    def checks(self) -> dict[str, Callable[[], Awaitable[Mapping[str, Any] | None]]]:
        """A function to call for each."""
        return {name: probe.check for name, probe in self._probes.items()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for probe in self._probes.values():
            await probe.close()


def open_probes(config: ServiceConfig) -> dict[str, Probe]:
    """What `config` names; nothing is asked yet."""
    probes: dict[str, Probe] = {}
    if config.database is not None:
        from aiapp_service.db.pool import DatabaseProbe  # noqa: PLC0415  # for a light start

        probes["database"] = DatabaseProbe(config.database)
    if config.redis is not None:
        from aiapp_service.jobs.redis import RedisProbe  # noqa: PLC0415  # for a light start

        probes["redis"] = RedisProbe(config.redis)
    if config.object_store is not None:
        from aiapp_service.storage.objects import ObjectStore  # noqa: PLC0415  # for a light start

        probes["storage"] = ObjectStore(config.object_store)
    if config.vector_store.qdrant is not None:
        from aiapp_service.retrieval.qdrant import open_qdrant  # noqa: PLC0415  # for a light start

        probes["vectors"] = open_qdrant(config.vector_store.qdrant, config.app)
    if config.vector_store.pinecone is not None:
        from aiapp_service.retrieval.pinecone import open_pinecone  # noqa: PLC0415  # for a light start

        probes["vectors"] = open_pinecone(config.vector_store.pinecone)
    return probes
