"""Configuration -> what runs: routes and stages."""

from typing import TYPE_CHECKING

from aiapp_service.config import ServiceConfig
from aiapp_service.files import WatchedFiles
from aiapp_service.gateway import Gateway, Running
from aiapp_service.limits.stage import limits
from aiapp_service.llm import setup
from aiapp_service.llm.router import Router
from aiapp_service.pipeline.accounting import accounting
from aiapp_service.pipeline.dispatch import dispatching
from aiapp_service.pipeline.exchange import Stage, pipeline
from aiapp_service.prompts.stage import Prompts
from aiapp_service.retrieval.opening import vector_stores
from aiapp_service.retrieval.tool.stage import searching
from aiapp_service.surroundings import Surroundings

if TYPE_CHECKING:
    from aiapp_service.retrieval.service import VectorStores


def gateway(config: ServiceConfig, around: Surroundings) -> Gateway:
    """What serves `config`, and the configurations that come after it."""
    return Gateway(config, lambda wanted, before: build(wanted, around, before))


def build(config: ServiceConfig, around: Surroundings, before: Running | None = None) -> Running:
    """Routes and stages of `config`, knowing what `before` knows."""
    known = before.router if before is not None else None
    router = setup.router(config, around.session, around.metrics, around.rng, known)
    files = WatchedFiles(before.files if before is not None else None)
    prompts = Prompts(config.prompts, files)
    stores = vector_stores(config, router, around)
    run = pipeline(_stages(config, around, router, prompts, files, stores), dispatching(router))
    doorkeeper = around.entrance.doorkeeper(config)
    return Running(config, router, run, doorkeeper, around.responses, prompts, files, stores)


def _stages(
    config: ServiceConfig,
    around: Surroundings,
    router: Router,
    prompts: Prompts,
    files: WatchedFiles,
    stores: "VectorStores | None",
) -> list[Stage]:
    """From the outermost to the innermost."""
    limited = limits(config, around.shared_limits, around.local_limits, around.metrics)
    settles = [] if limited is None else [limited.settle]
    if around.ledger is not None:
        settles.append(around.ledger.settle)
    return [
        *([] if around.tracing is None else [around.tracing.stage]),
        accounting(*settles),
        prompts.stage,
        *_guarding(config, around, files),
        *([] if limited is None else [limited.admit]),
        searching(stores),
        *_caching(config, router, around),
    ]


def _guarding(config: ServiceConfig, around: Surroundings, files: WatchedFiles) -> list[Stage]:
    if not config.guardrails:
        return []
    from aiapp_service.guardrails.setup import stage  # noqa: PLC0415  # for a light start

    return [stage(config, around.session, around.metrics, files)]


def _caching(config: ServiceConfig, router: Router, around: Surroundings) -> list[Stage]:
    if config.cache.exact is None and config.cache.semantic is None:
        return []
    from aiapp_service.cache.setup import caching  # noqa: PLC0415  # for a light start

    return caching(
        config, router, around.metrics, around.cache_writes, around.cache_redis or around.redis, around.database
    )
