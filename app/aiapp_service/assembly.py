"""Configuration -> what runs: routes and stages, with the connections that they share."""

import asyncio
import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self

import aiohttp

from aiapp_service.auth.doorkeeper import Entrance
from aiapp_service.config import ServiceConfig
from aiapp_service.gateway import Gateway, Running
from aiapp_service.llm import setup
from aiapp_service.pipeline.accounting import accounting
from aiapp_service.pipeline.dispatch import dispatching
from aiapp_service.pipeline.exchange import pipeline
from aiapp_service.prompts.stage import Prompts
from aiapp_service.responses.store import LocalResponses, ResponseStore
from aiapp_service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aiapp_service.stores.postgres import Database
    from aiapp_service.stores.redis import FastRedis
    from aiapp_service.telemetry.tracing import Tracing


@dataclass(frozen=True)
class Surroundings:
    """What outlives a change of configuration. Without Redis or PostgreSQL what needs them is left out."""

    session: aiohttp.ClientSession
    metrics: Metrics
    rng: random.Random = field(default_factory=random.SystemRandom)
    redis: "FastRedis | None" = None
    database: "Database | None" = None
    tracing: "Tracing | None" = None
    responses: ResponseStore = field(default_factory=LocalResponses)

    @classmethod
    def of(cls, config: ServiceConfig, session: aiohttp.ClientSession, metrics: Metrics) -> Self:
        """The stores that `config` names; nothing is connected yet.

        Their drivers are loaded here: a service without databases starts without them.
        """
        redis, database = None, None
        responses: ResponseStore = LocalResponses()
        if config.redis is not None:
            from aiapp_service.responses.redis_store import RedisResponses  # noqa: PLC0415
            from aiapp_service.stores.redis import FastRedis  # noqa: PLC0415

            redis = FastRedis(config.redis)
            responses = RedisResponses(config.app, redis)
        if config.database is not None:
            from aiapp_service.stores.postgres import Database  # noqa: PLC0415

            database = Database(config.database)
        tracing = None
        if config.tracing is not None:
            from aiapp_service.telemetry.tracing import Tracing  # noqa: PLC0415

            tracing = Tracing(config.tracing, config.app)
            tracing.lead(session)
        return cls(session, metrics, redis=redis, database=database, tracing=tracing, responses=responses)

    @cached_property
    def entrance(self) -> Entrance:
        """Who may come in."""
        return Entrance(self.session)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for store in (self.redis, self.database):
            if store is not None:
                await store.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)


def build(config: ServiceConfig, around: Surroundings, before: Running | None = None) -> Running:
    """Routes and stages of `config`, knowing what `before` knows."""
    known = before.router if before is not None else None
    router = setup.router(config, around.session, around.metrics, around.rng, known)
    # From the outermost to the innermost.
    prompts = Prompts(config.prompts)
    stages = [accounting(), prompts.stage]
    if config.guardrails:
        from aiapp_service.guardrails.setup import stage as guarding  # noqa: PLC0415

        stages.append(guarding(config, around.session, around.metrics))
    if around.tracing is not None:
        stages.insert(0, around.tracing.stage)
    run = pipeline(stages, dispatching(router))
    return Running(config, router, run, around.entrance.doorkeeper(config), around.responses, prompts)


def gateway(config: ServiceConfig, around: Surroundings) -> Gateway:
    """What serves `config`, and the configurations that come after it."""
    return Gateway(config, lambda wanted, before: build(wanted, around, before))
