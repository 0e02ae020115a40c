"""The worker role: consumers for its queues, probes, and a stop that loses no job."""

import asyncio
import contextlib
import logging
import random
import sys

from aiohttp import web
from redis.exceptions import RedisError

from aiapp_service.config import ServiceConfig, WorkerConfig
from aiapp_service.dependencies import Probes, open_probes
from aiapp_service.http import health
from aiapp_service.http.probes import add_probes
from aiapp_service.http.server import listen, stop_signals
from aiapp_service.jobs import embeddings
from aiapp_service.jobs.consumer import Consumer
from aiapp_service.jobs.queue import Handler, JobQueue
from aiapp_service.jobs.redis import connect
from aiapp_service.llm import monitor, setup
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.llm.router import Router
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

DEPTH_SECONDS = 5.0
WRONG_CONFIG = 2


def run(config: ServiceConfig, worker: WorkerConfig, *, host: str, port: int) -> int:
    """Work until told to stop; gives the exit code."""
    known = {embeddings.QUEUE}
    unknown = [queue for queue in worker.queues if queue not in known]
    if unknown:
        message = f"worker {worker.name}: nothing handles the queue {unknown[0]}; known: {', '.join(sorted(known))}"
        return _refuse(message)
    if config.redis is None:
        return _refuse(f"worker {worker.name}: queues need Redis, and the configuration names none")
    asyncio.run(_work(config, worker, host, port))
    return 0


def _refuse(message: str) -> int:
    sys.stderr.write(f"aiapp-service: {message}\n")
    return WRONG_CONFIG


def _handlers(router: Router, metrics: Metrics) -> dict[str, Handler]:
    return {embeddings.QUEUE: embeddings.handler(router, metrics)}


async def _work(config: ServiceConfig, worker: WorkerConfig, host: str, port: int) -> None:
    assert config.redis is not None  # noqa: S101  # run() has seen to it
    metrics, rng, stop = Metrics(), random.SystemRandom(), stop_signals()
    client = connect(config.redis)
    async with client, client_session() as session, Probes(open_probes(config)) as probes:
        router = setup.router(config, session, metrics)
        handlers = _handlers(router, metrics)
        consumers = [Consumer(name, handlers[name], client, worker.concurrency, rng) for name in worker.queues]
        dependencies = health.Dependencies(probes.checks, rng)
        app = _application(consumers, stop, dependencies, router, metrics)
        runner = await listen(app, host, port, drain_seconds=1)
        backends = [backend for route in router.routes.values() for backend in route.backends]
        watches = [
            asyncio.create_task(dependencies.watch()),
            asyncio.create_task(monitor.watch(backends, rng)),
            asyncio.create_task(_watch_depth([JobQueue(name, client) for name in worker.queues], metrics)),
        ]
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


def _application(
    consumers: list[Consumer], stop: asyncio.Event, dependencies: health.Dependencies, router: Router, metrics: Metrics
) -> web.Application:
    def dead() -> str:
        return ", ".join(f"nothing takes jobs from {c.queue}" for c in consumers if not c.alive)

    app = web.Application()
    add_probes(
        app,
        live=lambda: "" if stop.is_set() else dead(),
        ready=lambda: "the worker is stopping" if stop.is_set() else dead(),
        health=lambda: health.document(dependencies, router),
        registry=metrics.registry,
    )
    return app


async def _watch_depth(queues: list[JobQueue], metrics: Metrics) -> None:
    while True:
        for queue in queues:
            # What cannot be asked keeps its last value; health says that Redis is gone.
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(DEPTH_SECONDS):
                    metrics.queue_depth.labels(queue.name).set(await queue.depth())
        await asyncio.sleep(DEPTH_SECONDS)
