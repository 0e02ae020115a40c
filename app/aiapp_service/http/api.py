"""The API role: everything put together, from start to stop."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from aiapp_service import assembly, collector
from aiapp_service.batches.api import BatchesApi
from aiapp_service.config import ServiceConfig
from aiapp_service.dependencies import Probes, open_probes
from aiapp_service.finetuning.api import FineTuningApi
from aiapp_service.gateway import Gateway
from aiapp_service.http import health
from aiapp_service.http.auth import authenticating
from aiapp_service.http.calls import observing
from aiapp_service.http.cors import preflights, sharing
from aiapp_service.http.files import NO_DATABASE, NO_OBJECT_STORE, FilesApi
from aiapp_service.http.jobs import JobsApi
from aiapp_service.http.messages import MessagesApi
from aiapp_service.http.openai import OpenAIApi
from aiapp_service.http.probes import add_probes
from aiapp_service.http.responses import ResponsesApi
from aiapp_service.http.server import listen, stop_signals
from aiapp_service.http.uploads import UploadsApi
from aiapp_service.http.usage import UsageApi
from aiapp_service.http.vector_store_files import VectorStoreFilesApi
from aiapp_service.http.vector_stores import VectorStoresApi
from aiapp_service.llm import monitor, replicas
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.reload import watch_file
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 20 * 1024 * 1024


def application(
    gateway: Gateway,
    metrics: Metrics,
    ready: Callable[[], str],
    health_document: Callable[[], Mapping[str, Any]],
    around: Surroundings,
) -> web.Application:
    """The aiohttp application: every API, whatever of `around` is there for it."""
    config = gateway.current.config
    app = web.Application(
        client_max_size=MOST_BODY_BYTES, middlewares=[observing(metrics), preflights(gateway), authenticating(gateway)]
    )
    app.on_response_prepare.append(sharing(gateway))
    OpenAIApi(gateway, metrics, config.app).add_to(app)
    MessagesApi(gateway, metrics).add_to(app)
    ResponsesApi(gateway, metrics).add_to(app)
    UsageApi(around.database, gateway).add_to(app)
    files = FilesApi(around.files, gateway, NO_DATABASE if config.object_store is not None else NO_OBJECT_STORE)
    files.add_to(app)
    UploadsApi(files, gateway).add_to(app)
    JobsApi(around.queues, gateway).add_to(app)
    BatchesApi(around).add_to(app)
    FineTuningApi(gateway, around).add_to(app)
    VectorStoresApi(gateway).add_to(app)
    VectorStoreFilesApi(gateway).add_to(app)
    add_probes(app, live=lambda: "", ready=ready, health=health_document, registry=metrics.registry)
    return app


async def serve(config: ServiceConfig, host: str, port: int, file: Path | None = None) -> None:
    """Serve until told to stop, then drain. What changes in `file` meanwhile is taken in."""
    metrics = Metrics()
    stop = stop_signals()
    async with (
        client_session() as session,
        Surroundings.of(config, session, metrics) as around,
        Probes(open_probes(config)) as probes,
    ):
        gateway = assembly.gateway(config, around)
        dependencies = health.Dependencies(probes.checks, around.rng)
        app = application(
            gateway,
            metrics,
            lambda: "the service is stopping" if stop.is_set() else "",
            lambda: health.document(dependencies, gateway.current.router, gateway.current.files.problems()),
            around,
        )
        runner = await listen(app, host, port, drain_seconds=config.drain_seconds)
        watches = [
            asyncio.create_task(dependencies.watch()),
            asyncio.create_task(monitor.watch(lambda: gateway.current.router.backends, around.rng)),
            asyncio.create_task(replicas.watch(lambda: gateway.current.router.replica_sets, around.rng)),
        ]
        watches += _ledger_consumer(config, around)
        watches += _tuned_models(gateway, around)
        watches += _sweepers(gateway, around)
        collector.settle()
        if file is not None:
            watches.append(asyncio.create_task(watch_file(file, gateway, config)))
        try:
            await stop.wait()
            log.info("draining", extra={"seconds": config.drain_seconds})
        finally:
            await runner.cleanup()
            for watch in watches:
                watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*watches)


def _tuned_models(gateway: Gateway, around: Surroundings) -> list[asyncio.Task[None]]:
    if around.database is None:
        return []
    from aiapp_service.finetuning import models  # noqa: PLC0415  # for a light start

    return [asyncio.create_task(models.watch(around.database, gateway))]


def _ledger_consumer(config: ServiceConfig, around: Surroundings) -> list[asyncio.Task[None]]:
    """Where no worker takes rows of the ledger from Redis the API does it itself."""
    if config.workers or config.redis is None or around.database is None:
        return []
    from aiapp_service.billing.consumer import LedgerConsumer  # noqa: PLC0415  # for a light start

    return [asyncio.create_task(LedgerConsumer(config.redis, around.database, config.app).run())]


def _sweepers(gateway: Gateway, around: Surroundings) -> list[asyncio.Task[None]]:
    if around.files is None:
        return []
    from aiapp_service.storage import sweeper  # noqa: PLC0415  # for a light start

    async def vector_stores() -> int:
        stores = gateway.current.vector_stores
        return 0 if stores is None else await stores.sweep()

    sweeps = {"files": around.files.sweep, "files of vector stores": vector_stores}
    return [asyncio.create_task(sweeper.watch(what, sweep, around.rng)) for what, sweep in sweeps.items()]
