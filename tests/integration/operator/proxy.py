"""An API server that counts writes, and can have its client killed right after one of them was carried out."""

import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from kubernetes import config

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass
class WriteProxy:
    """Passes everything on to the API server of `kubeconfig`. Leases are not counted: they are written all the time.

    When write number `kill_at` (from 1) was carried out, the process `victim` is killed before it hears of it.
    """

    kubeconfig: Path
    kill_at: int = 0
    victim: int = 0
    writes: list[str] = field(default_factory=list)
    url: str = ""
    _session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["WriteProxy"]:
        """Serve on a free port of loopback."""
        loaded = config.kube_config.Configuration()
        config.load_kube_config(config_file=str(self.kubeconfig), client_configuration=loaded)
        tls = ssl.create_default_context(cafile=loaded.ssl_ca_cert)
        tls.load_cert_chain(loaded.cert_file, loaded.key_file)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        connector = aiohttp.TCPConnector(ssl=tls, limit=0)
        async with aiohttp.ClientSession(str(loaded.host), connector=connector, auto_decompress=False) as session:
            self._session = session
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                yield self
            finally:
                await runner.cleanup()

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads here."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "users": [{"name": "proxy", "user": {}}],
            "current-context": "proxy",
        }
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = await request.read()
        async with self._session.request(
            request.method, request.rel_url, headers=headers, data=body or None, timeout=aiohttp.ClientTimeout()
        ) as answer:
            if request.method != "GET" and "/leases" not in request.path:
                self.writes.append(f"{request.method} {request.path} {answer.status}")
                if len(self.writes) == self.kill_at:
                    os.kill(self.victim, signal.SIGKILL)
            response = web.StreamResponse(status=answer.status)
            response.headers.update({n: v for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
