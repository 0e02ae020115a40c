"""Listening, and stopping in good order: whatever runs may finish within its time."""

import asyncio
import logging
import signal

from aiohttp import web

log = logging.getLogger(__name__)


def stop_signals() -> asyncio.Event:
    """Set when the process is told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def listen(app: web.Application, host: str, port: int, *, drain_seconds: float) -> web.AppRunner:
    """Serve `app`; `cleanup` of the result closes the port and lets requests finish for `drain_seconds`.

    A handler is cancelled when its client leaves, which ends what it does upstream.
    """
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=drain_seconds)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError:
        await runner.cleanup()
        raise
    bound = runner.addresses[0][1]
    log.info("listening", extra={"address": f"http://{host}:{bound}"})
    return runner
