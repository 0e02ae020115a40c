"""Configuration -> what runs: routes and stages, with the connections that they share."""

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import aiohttp

from aiapp_service.config import ServiceConfig
from aiapp_service.gateway import Gateway, Running
from aiapp_service.llm import setup
from aiapp_service.pipeline.accounting import accounting
from aiapp_service.pipeline.dispatch import dispatching
from aiapp_service.pipeline.exchange import pipeline
from aiapp_service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aiapp_service.billing.ledger import Ledger
    from aiapp_service.stores.outbox import Outbox
    from aiapp_service.stores.postgres import Database
    from aiapp_service.stores.redis import FastRedis


@dataclass(frozen=True)
class Surroundings:
    """What outlives a change of configuration. Without Redis or PostgreSQL what needs them is left out."""

    session: aiohttp.ClientSession
    metrics: Metrics
    rng: random.Random = field(default_factory=random.SystemRandom)
    redis: "FastRedis | None" = None
    outbox: "Outbox | None" = None
    database: "Database | None" = None
    ledger: "Ledger | None" = None

    @classmethod
    def of(cls, config: ServiceConfig, session: aiohttp.ClientSession, metrics: Metrics) -> Self:
        """The stores that `config` names; nothing is connected yet.

        Their drivers are loaded here: a service without databases starts without them.
        """
        redis, outbox, database, ledger = None, None, None, None
        if config.redis is not None:
            from aiapp_service.stores.outbox import Outbox  # noqa: PLC0415
            from aiapp_service.stores.redis import FastRedis  # noqa: PLC0415

            redis = FastRedis(config.redis)
            outbox = Outbox(redis)
        if config.database is not None:
            from aiapp_service.billing.ledger import open_ledger  # noqa: PLC0415
            from aiapp_service.stores.postgres import Database  # noqa: PLC0415

            database = Database(config.database)
            ledger = open_ledger(config.app, outbox, database)
        return cls(session, metrics, redis=redis, outbox=outbox, database=database, ledger=ledger)

    async def __aenter__(self) -> Self:
        if self.outbox is not None:
            self.outbox.start()
        if self.ledger is not None:
            self.ledger.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        for store in (self.ledger, self.outbox, self.redis, self.database):
            if store is not None:
                await store.close()


def build(config: ServiceConfig, around: Surroundings) -> Running:
    """Routes and stages of `config`."""
    router = setup.router(config, around.session, around.metrics)
    # From the outermost to the innermost.
    stages = [accounting(*([] if around.ledger is None else [around.ledger.settle]))]
    return Running(config, router, pipeline(stages, dispatching(router)))


def gateway(config: ServiceConfig, around: Surroundings) -> Gateway:
    """What serves `config`, and the configurations that come after it."""
    return Gateway(config, lambda wanted: build(wanted, around))
