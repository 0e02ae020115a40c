"""What the commands do: one piece of work, one result; exit code 0 or 1."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from aiapp_service.db.migrate import RESULT_FILE, tell
from aiapp_service.weights.errors import FetchFailed
from aiapp_service.weights.fetch import Fetched, Progress, fetch
from aiapp_service.weights.source import Source
from aiapp_service.weights.volume import Volume

log = logging.getLogger(__name__)


def run_fetch(source: Source, into: Path, name: str, port: int) -> int:
    """Download; gives the exit code."""
    try:
        fetched = asyncio.run(_fetch(source, into, name, port))
    except FetchFailed as failure:
        log.error("not downloaded", extra={"reason": failure.reason, "why": str(failure)})  # noqa: TRY400  # its words say it all
        _result({"failed": failure.reason, "message": str(failure)})
        return 1
    log.info("downloaded", extra={"files": fetched.files, "bytes": fetched.size, "revision": fetched.revision})
    _result({"model": {"files": fetched.files, "bytes": fetched.size, "revision": fetched.revision}})
    return 0


def run_collect(into: Path, keep: Collection[str]) -> int:
    """Remove what is not to be kept; gives the exit code."""
    try:
        removed = Volume(into).collect(keep)
    except OSError as error:
        _result({"failed": "VolumeFailed", "message": f"the cache volume cannot be cleaned: {error.strerror}"})
        return 1
    log.info("collected", extra={"bytes": removed, "kept": sorted(keep)})
    _result({"collected": removed})
    return 0


async def _fetch(source: Source, into: Path, name: str, port: int) -> Fetched:
    progress = Progress()
    try:
        async with _telling(progress, port):
            return await fetch(source, Volume(into), name, progress)
    finally:
        await source.close()


@asynccontextmanager
async def _telling(progress: Progress, port: int) -> AsyncIterator[None]:
    """Answer GET /progress while the context lasts."""
    if not port:
        yield
        return

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"done": progress.done, "total": progress.total})

    app = web.Application()
    app.router.add_get("/progress", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port).start()
        yield
    finally:
        await runner.cleanup()


def _result(document: dict[str, Any]) -> None:
    tell(RESULT_FILE, json.dumps(document))
