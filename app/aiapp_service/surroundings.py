"""What outlives a change of configuration: connections, what is known of clients, what waits to be written."""

import asyncio
import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self

import aiohttp

from aiapp_service.auth.doorkeeper import Entrance
from aiapp_service.cache.writes import Writes
from aiapp_service.config import ServiceConfig
from aiapp_service.limits.local import LocalLimits
from aiapp_service.responses.store import LocalResponses, ResponseStore
from aiapp_service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aiapp_service.billing.ledger import Ledger
    from aiapp_service.jobs.queues import Queues
    from aiapp_service.limits.shared import SharedLimits
    from aiapp_service.retrieval.index import Index
    from aiapp_service.storage.files import Files
    from aiapp_service.storage.objects import ObjectStore
    from aiapp_service.stores.outbox import Outbox
    from aiapp_service.stores.postgres import Database
    from aiapp_service.stores.redis import FastRedis
    from aiapp_service.telemetry.tracing import Tracing


@dataclass(frozen=True)
class Surroundings:
    """Without Redis or PostgreSQL what needs them is left out, or kept in this process."""

    session: aiohttp.ClientSession
    metrics: Metrics
    rng: random.Random = field(default_factory=random.SystemRandom)
    redis: "FastRedis | None" = None
    cache_redis: "FastRedis | None" = None
    outbox: "Outbox | None" = None
    database: "Database | None" = None
    objects: "ObjectStore | None" = None
    files: "Files | None" = None
    shared_limits: "SharedLimits | None" = None
    local_limits: LocalLimits = field(default_factory=LocalLimits)
    cache_writes: Writes = field(default_factory=Writes)
    ledger: "Ledger | None" = None
    responses: ResponseStore = field(default_factory=LocalResponses)
    tracing: "Tracing | None" = None
    queues: "Queues | None" = None
    index: "Index | None" = None

    @classmethod
    def of(cls, config: ServiceConfig, session: aiohttp.ClientSession, metrics: Metrics) -> Self:
        """The stores that `config` names; nothing is connected yet.

        Their drivers are loaded here: a service without databases starts without them.
        """
        redis, outbox, shared_limits, database, ledger, queues = None, None, None, None, None, None
        cache_redis = None
        responses: ResponseStore = LocalResponses()
        if config.redis is not None:
            from aiapp_service.jobs.queues import Queues  # noqa: PLC0415  # for a light start
            from aiapp_service.limits.shared import SharedLimits  # noqa: PLC0415  # for a light start
            from aiapp_service.responses.redis_store import RedisResponses  # noqa: PLC0415  # for a light start
            from aiapp_service.stores.outbox import Outbox  # noqa: PLC0415  # for a light start
            from aiapp_service.stores.redis import FastRedis  # noqa: PLC0415  # for a light start

            redis = FastRedis(config.redis)
            outbox = Outbox(redis)
            shared_limits = SharedLimits(redis, outbox, config.app)
            responses = RedisResponses(config.app, redis)
            queues = Queues(config.redis, config.app)
        if config.cache_redis is not None:
            from aiapp_service.stores.redis import FastRedis  # noqa: PLC0415  # for a light start

            cache_redis = FastRedis(config.cache_redis)
        if config.database is not None:
            from aiapp_service.billing.ledger import open_ledger  # noqa: PLC0415  # for a light start
            from aiapp_service.stores.postgres import Database  # noqa: PLC0415  # for a light start

            database = Database(config.database)
            ledger = open_ledger(config.app, outbox, database)
        objects = _objects(config)
        return cls(
            session,
            metrics,
            redis=redis,
            cache_redis=cache_redis,
            outbox=outbox,
            database=database,
            objects=objects,
            files=_files(database, objects),
            shared_limits=shared_limits,
            ledger=ledger,
            responses=responses,
            tracing=_tracing(config, session),
            queues=queues,
            index=_index(config, database),
        )

    @cached_property
    def entrance(self) -> Entrance:
        """Who may come in."""
        return Entrance(self.session)

    async def __aenter__(self) -> Self:
        if self.outbox is not None:
            self.outbox.start()
        if self.shared_limits is not None:
            await self.shared_limits.start()
        if self.ledger is not None:
            self.ledger.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.cache_writes.drain()
        if self.shared_limits is not None:
            self.shared_limits.close()
        # What waits goes out before the connections it goes by.
        stores = (self.ledger, self.outbox, self.queues, self.redis, self.cache_redis, self.index)
        for store in (*stores, self.database, self.objects):
            if store is not None:
                await store.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)


def _index(config: ServiceConfig, database: "Database | None") -> "Index | None":
    if database is None:
        return None
    from aiapp_service.retrieval.setup import open_index  # noqa: PLC0415  # for a light start

    return open_index(config, database)


def _objects(config: ServiceConfig) -> "ObjectStore | None":
    if config.object_store is None:
        return None
    from aiapp_service.storage.objects import ObjectStore  # noqa: PLC0415  # for a light start

    return ObjectStore(config.object_store)


def _files(database: "Database | None", objects: "ObjectStore | None") -> "Files | None":
    if database is None or objects is None:
        return None
    from aiapp_service.storage.files import Files  # noqa: PLC0415  # for a light start

    return Files(database, objects)


def _tracing(config: ServiceConfig, session: aiohttp.ClientSession) -> "Tracing | None":
    if config.tracing is None:
        return None
    from aiapp_service.telemetry.tracing import Tracing  # noqa: PLC0415  # for a light start

    tracing = Tracing(config.tracing, config.app)
    tracing.lead(session)
    return tracing
