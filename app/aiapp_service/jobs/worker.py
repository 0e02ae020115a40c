"""The worker role: consumers for its queues, probes, and a stop that loses no job."""

import asyncio
import contextlib
import logging
import sys
from functools import partial
from pathlib import Path

from aiohttp import web

from aiapp_service import assembly
from aiapp_service.billing.consumer import LedgerConsumer
from aiapp_service.config import RedisConfig, ServiceConfig, WorkerConfig
from aiapp_service.dependencies import Probes, open_probes
from aiapp_service.finetuning import models
from aiapp_service.gateway import Gateway
from aiapp_service.http import health
from aiapp_service.http.probes import add_probes
from aiapp_service.http.server import listen, stop_signals
from aiapp_service.jobs import blocking, depth, handlers
from aiapp_service.jobs.consumer import Consumer, Pace
from aiapp_service.jobs.redis import connect
from aiapp_service.llm import monitor
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.reload import watch_file
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

WRONG_CONFIG = 2


def run(config: ServiceConfig, worker: WorkerConfig, *, host: str, port: int, file: Path | None = None) -> int:
    """Work until told to stop; gives the exit code. What changes in `file` meanwhile is taken in."""
    known = handlers.known_queues()
    unknown = [queue for queue in worker.queues if queue not in known]
    if unknown:
        message = f"worker {worker.name}: nothing handles the queue {unknown[0]}; known: {', '.join(sorted(known))}"
        return _refuse(message)
    if config.redis is None:
        return _refuse(f"worker {worker.name}: queues need Redis, and the configuration names none")
    asyncio.run(_work(config, config.redis, worker, host, port, file))
    return 0


def _refuse(message: str) -> int:
    sys.stderr.write(f"aiapp-service: {message}\n")
    return WRONG_CONFIG


async def _work(
    config: ServiceConfig, redis: RedisConfig, worker: WorkerConfig, host: str, port: int, file: Path | None
) -> None:
    metrics, stop = Metrics(), stop_signals()
    async with (
        client_session() as session,
        Surroundings.of(config, session, metrics) as around,
        Probes(open_probes(config)) as probes,
    ):
        queues = around.queues
        assert queues is not None  # noqa: S101  # there is Redis
        gateway, rng = assembly.gateway(config, around), around.rng
        parts = handlers.Parts(gateway, around, queues, stop)
        consumers = _consumers(worker, config.app, redis, parts)
        dependencies = health.Dependencies(probes.checks, rng)
        app = _application(consumers, stop, dependencies, gateway, metrics)
        runner = await listen(app, host, port, drain_seconds=1)
        watches = [
            asyncio.create_task(dependencies.watch()),
            asyncio.create_task(monitor.watch(lambda: gateway.current.router.backends, rng)),
            asyncio.create_task(depth.watch([queues[name] for name in worker.queues], metrics)),
            asyncio.create_task(blocking.watch(lambda: [job for c in consumers for job in c.running])),
        ]
        watches += handlers.watches_of(worker.queues, parts)
        if around.database is not None:
            watches.append(asyncio.create_task(models.watch(around.database, gateway)))
            watches.append(asyncio.create_task(LedgerConsumer(redis, around.database, config.app).run()))
        if file is not None:
            watches.append(asyncio.create_task(watch_file(file, gateway, config)))
        for consumer in consumers:
            consumer.start()
        try:
            await stop.wait()
            log.info("draining", extra={"seconds": config.drain_seconds})
            await asyncio.gather(*(consumer.drain(config.drain_seconds) for consumer in consumers))
        finally:
            for watch in watches:
                watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*watches)
            await runner.cleanup()


def _consumers(worker: WorkerConfig, app: str, redis: RedisConfig, parts: handlers.Parts) -> list[Consumer]:
    rate = worker.rate_limit
    pace = Pace(worker.concurrency) if rate is None else Pace(worker.concurrency, rate.max, rate.per_seconds)
    found = handlers.handlers_of(worker.queues, parts)
    opened = partial(connect, redis)
    return [Consumer(name, handler, opened, pace, parts.around.rng, app) for name, handler in found.items()]


def _application(
    consumers: list[Consumer],
    stop: asyncio.Event,
    dependencies: health.Dependencies,
    gateway: Gateway,
    metrics: Metrics,
) -> web.Application:
    def dead() -> str:
        return ", ".join(f"nothing takes jobs from {c.queue}" for c in consumers if not c.alive)

    app = web.Application()
    add_probes(
        app,
        live=lambda: "" if stop.is_set() else dead(),
        ready=lambda: "the worker is stopping" if stop.is_set() else dead(),
        health=lambda: health.document(dependencies, gateway.current.router),
        registry=metrics.registry,
    )
    return app
