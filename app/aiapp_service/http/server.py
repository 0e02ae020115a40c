"""Listening, and stopping in good order: whatever runs may finish within its time."""

import asyncio
import logging
import signal

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger(__name__)
_protocol = logging.getLogger(f"{__name__}.protocol")

# Also how long a client may take for the headers of its next request. Proxies in front keep connections for 60 s,
# and must not find one that is closed.
KEEPALIVE_SECONDS = 75.0
# How long the rest of a body is read that nobody wants, so that the client reads why.
LINGERING_SECONDS = 2.0
MOST_HEADERS = 100
# One that may hold the longest token that is looked at.
MOST_HEADER_BYTES = 20 * 1024
MOST_REQUEST_LINE_BYTES = 8 * 1024


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
    _protocol.addFilter(_is_ours)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_protocol,
        handler_cancellation=True,
        shutdown_timeout=drain_seconds,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGERING_SECONDS,
        max_headers=MOST_HEADERS,
        max_field_size=MOST_HEADER_BYTES,
        max_line_size=MOST_REQUEST_LINE_BYTES,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError:
        await runner.cleanup()
        raise
    bound = runner.addresses[0][1]
    log.info("listening", extra={"address": f"http://{host}:{bound}"})
    return runner


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what clients get wrong in HTTP: they could fill the log, and the message quotes their headers."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)
