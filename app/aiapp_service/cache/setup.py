"""Configuration -> the stage, where a cache is wanted and there is something to keep answers in."""

import logging

from aiapp_service.cache.canonical import fingerprints
from aiapp_service.cache.embedder import Embedder
from aiapp_service.cache.exact import ExactCache
from aiapp_service.cache.semantic import SemanticCache
from aiapp_service.cache.stage import AnswerCache
from aiapp_service.cache.writes import Writes
from aiapp_service.config import ServiceConfig
from aiapp_service.llm.router import Router
from aiapp_service.pipeline.exchange import Stage
from aiapp_service.stores.postgres import Database
from aiapp_service.stores.redis import FastRedis
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


def caching(
    config: ServiceConfig,
    router: Router,
    metrics: Metrics,
    writes: Writes,
    redis: FastRedis | None,
    database: Database | None,
) -> list[Stage]:
    """The stage in a list, or none where there is no cache; one that lacks its store is left out, and said so."""
    exact, semantic = config.cache.exact, config.cache.semantic
    known = fingerprints(config)
    found_exact, found_semantic = None, None
    if exact is not None:
        if redis is not None:
            found_exact = ExactCache(redis, exact.ttl)
        else:
            log.warning("cache.exact is off: it needs redis, and the configuration names none")
    if semantic is not None:
        if database is not None:
            route = router.routes[semantic.embedding_model]
            embedder = Embedder(router, route, known[route.name], metrics)
            found_semantic = SemanticCache(database, embedder, semantic.threshold, semantic.ttl)
        else:
            log.warning("cache.semantic is off: it needs database, and the configuration names none")
    if found_exact is None and found_semantic is None:
        return []
    return [AnswerCache(found_exact, found_semantic, known, writes, metrics).answer]
