"""Servers that tests have in their own process, on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def listening(
    app: web.Application, host: str = "127.0.0.1", port: int = 0, *, cancelled: bool = False
) -> AsyncIterator[str]:
    """Gives the address of `app`, without a path. Port 0: any free one.

    `cancelled`: a handler is cancelled when its client leaves.
    """
    runner = web.AppRunner(app, handler_cancellation=cancelled, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
