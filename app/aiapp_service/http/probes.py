"""/livez, /readyz, /health and /metrics, the same for every role."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Why = Callable[[], str]  # why not; empty when all is well
HealthDocument = Callable[[], Mapping[str, Any]]


def add_probes(
    app: web.Application, *, live: Why, ready: Why, health: HealthDocument, registry: CollectorRegistry
) -> None:
    """Register the paths. Liveness and readiness ask nothing outside this process."""

    def answer(why: str) -> web.Response:
        return web.Response(status=503 if why else 200, text=f"{why or 'ok'}\n")

    async def livez(_request: web.Request) -> web.Response:
        return answer(live())

    async def readyz(_request: web.Request) -> web.Response:
        return answer(ready())

    async def healthz(_request: web.Request) -> web.Response:
        document = health()
        return web.json_response(document, status=503 if document["status"] == "unhealthy" else 200)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/health", healthz)
    app.router.add_get("/metrics", metrics)
