"""The worker role: consumers for its queues, probes, and a stop that loses no job."""

import asyncio
import contextlib
import logging
import sys
from pathlib import Path

from aiohttp import web
from redis.exceptions import RedisError

from aiapp_service import assembly
from aiapp_service.billing.consumer import LedgerConsumer
from aiapp_service.billing.ledger import Ledger
from aiapp_service.config import ServiceConfig, WorkerConfig
from aiapp_service.dependencies import Probes, open_probes
from aiapp_service.gateway import Gateway
from aiapp_service.http import health
from aiapp_service.http.probes import add_probes
from aiapp_service.http.server import listen, stop_signals
from aiapp_service.jobs import embeddings
from aiapp_service.jobs.consumer import Consumer
from aiapp_service.jobs.queue import Handler, JobQueue
from aiapp_service.jobs.redis import connect
from aiapp_service.llm import monitor
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.reload import watch_file
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

DEPTH_SECONDS = 5.0
WRONG_CONFIG = 2


def run(config: ServiceConfig, worker: WorkerConfig, *, host: str, port: int, file: Path | None = None) -> int:
    """Work until told to stop; gives the exit code. What changes in `file` meanwhile is taken in."""
    known = {embeddings.QUEUE}
    unknown = [queue for queue in worker.queues if queue not in known]
    if unknown:
        message = f"worker {worker.name}: nothing handles the queue {unknown[0]}; known: {', '.join(sorted(known))}"
        return _refuse(message)
    if config.redis is None:
        return _refuse(f"worker {worker.name}: queues need Redis, and the configuration names none")
    asyncio.run(_work(config, worker, host, port, file))
    return 0


def _refuse(message: str) -> int:
    sys.stderr.write(f"aiapp-service: {message}\n")
    return WRONG_CONFIG


def _handlers(gateway: Gateway, metrics: Metrics, ledger: Ledger | None) -> dict[str, Handler]:
    return {embeddings.QUEUE: embeddings.handler(gateway, metrics, ledger)}


async def _work(config: ServiceConfig, worker: WorkerConfig, host: str, port: int, file: Path | None) -> None:
    assert config.redis is not None  # noqa: S101  # run() has seen to it
    metrics, stop = Metrics(), stop_signals()
    client = connect(config.redis)
    async with (
        client,
        client_session() as session,
        Surroundings.of(config, session, metrics) as around,
        Probes(open_probes(config)) as probes,
    ):
        gateway, rng = assembly.gateway(config, around), around.rng
        handlers = _handlers(gateway, metrics, around.ledger)
        consumers = [Consumer(name, handlers[name], client, worker.concurrency, rng) for name in worker.queues]
        dependencies = health.Dependencies(probes.checks, rng)
        app = _application(consumers, stop, dependencies, gateway, metrics)
        runner = await listen(app, host, port, drain_seconds=1)
        watches = [
            asyncio.create_task(dependencies.watch()),
            asyncio.create_task(monitor.watch(lambda: gateway.current.router.backends, rng)),
            asyncio.create_task(_watch_depth([JobQueue(name, client) for name in worker.queues], metrics)),
        ]
        if around.database is not None:
            watches.append(asyncio.create_task(LedgerConsumer(config.redis, around.database, config.app).run()))
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


async def _watch_depth(queues: list[JobQueue], metrics: Metrics) -> None:
    while True:
        for queue in queues:
            # What cannot be asked keeps its last value; health says that Redis is gone.
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(DEPTH_SECONDS):
                    metrics.queue_depth.labels(queue.name).set(await queue.depth())
        await asyncio.sleep(DEPTH_SECONDS)
