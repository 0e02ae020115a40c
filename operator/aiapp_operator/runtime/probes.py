"""The operator's own /livez, /readyz and /metrics."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Check = Callable[[], str]  # why not; empty when all is well


def _answer(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_request: web.Request) -> web.Response:
        why = check()
        return web.Response(status=503 if why else 200, text=f"{why or 'ok'}\n")

    return handle


class ProbeServer:
    """Two small servers, so that metrics can be closed off without closing off the probes."""

    def __init__(
        self, registry: CollectorRegistry, live: Check, ready: Check, before_scrape: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._live = live
        self._ready = ready
        self._before_scrape = before_scrape
        self._runners: list[web.AppRunner] = []

    async def start(self, host: str, probe_port: int, metrics_port: int) -> None:
        """Listen on both ports."""
        probes = web.Application()
        probes.router.add_get("/livez", _answer(self._live))
        probes.router.add_get("/readyz", _answer(self._ready))
        metrics = web.Application()
        metrics.router.add_get("/metrics", self._metrics)
        for app, port in ((probes, probe_port), (metrics, metrics_port)):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, host, port).start()
            self._runners.append(runner)

    async def stop(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._before_scrape()
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
