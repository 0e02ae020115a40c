"""Keeps asking backends whether they are there, so that health does not wait for traffic."""

import asyncio
import random
from collections.abc import Callable, Sequence

from aiapp_service.llm.backend import Backend
from aiapp_service.llm.upstream import BackendError, Reason, Upstream

INTERVAL_SECONDS = 10.0
PROBE_SECONDS = 6.0


async def probe_all(backends: Sequence[Backend]) -> None:
    """Ask each upstream once; its backends share the answer."""
    by_upstream: dict[Upstream, list[Backend]] = {}
    for backend in backends:
        by_upstream.setdefault(backend.upstream, []).append(backend)
    async with asyncio.TaskGroup() as group:
        for upstream, served in by_upstream.items():
            group.create_task(_probe(upstream, served))


async def _probe(upstream: Upstream, backends: Sequence[Backend]) -> None:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await upstream.probe()
    except TimeoutError:
        error = BackendError(Reason.TIMEOUT, "cannot be reached in time")
    except BackendError as failure:
        error = failure
    else:
        for backend in backends:
            backend.reached()
        return
    for backend in backends:
        backend.missed(error)


async def watch(backends: Callable[[], Sequence[Backend]], rng: random.Random) -> None:
    """Until cancelled; `backends` gives those that there are now."""
    while True:
        await probe_all(backends())
        await asyncio.sleep(INTERVAL_SECONDS * rng.uniform(0.8, 1.2))
