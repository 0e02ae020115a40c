"""Whom one request asks, one after the other, until somebody answers.

Backends that rest come last. The only one that is left is asked again, a little later, where it failed at once and
may do better: with jitter, and not while it was failing anyway, since retries must not keep down who is down.
"""

import asyncio
import random
import time
from collections.abc import Sequence

from aiapp_service.llm.backend import Backend
from aiapp_service.llm.failures import retry_seconds
from aiapp_service.llm.upstream import BackendError, Reason
from aiapp_service.telemetry.metrics import Metrics

MOST_RETRIES = 2
_PAUSE_SECONDS = 0.25
_MOST_PAUSE_SECONDS = 2.0
# What took this long to fail has been waited for long enough.
_QUICK_SECONDS = 1.0
_MAY_PASS = frozenset({Reason.CONNECT, Reason.SERVER_ERROR, Reason.BROKEN, Reason.RATE_LIMITED})


class Attempts:
    """The attempts of one request for `model`; none begins after `until`, in the loop's time."""

    def __init__(
        self, model: str, backends: Sequence[Backend], until: float, metrics: Metrics, rng: random.Random
    ) -> None:
        self.failures: list[tuple[Backend, BackendError]] = []  # the newest one of each backend
        self._model = model
        self._left = list(backends)
        self._until = until
        self._metrics = metrics
        self._rng = rng
        self._retries = 0
        self._began = 0.0
        self._rested = False  # whether the one that is asked was resting before this request

    async def next(self) -> Backend | None:
        """The one to ask now; None: nobody is left."""
        if not self.failures:
            return self._take()
        if asyncio.get_running_loop().time() >= self._until:
            return None
        if not self._left:
            return await self._same_again()
        before, error = self.failures[-1]
        chosen = self._take()
        self._metrics.fallbacks.labels(self._model, before.name, chosen.name, error.reason).inc()
        return chosen

    def failed(self, backend: Backend, error: BackendError) -> None:
        """It did not serve."""
        if self.failures and self.failures[-1][0] is backend:
            self.failures.pop()
        self.failures.append((backend, error))
        if error.reason is Reason.CONTEXT_LENGTH and backend.context_window is not None:
            size = backend.context_window
            self._left = [b for b in self._left if b.context_window is None or b.context_window > size]

    def _take(self) -> Backend:
        """The first of those left that does not rest, else the least bad one."""
        self._began = now = time.monotonic()
        chosen = next((backend for backend in self._left if not backend.rests(now)), None)
        self._rested = chosen is None
        if chosen is None:
            chosen = min(self._left, key=lambda backend: backend.known.standing.hope(now))
        self._left.remove(chosen)
        return chosen

    async def _same_again(self) -> Backend | None:
        backend, error = self.failures[-1]
        pause = self._pause(error)
        if pause is None or asyncio.get_running_loop().time() + pause >= self._until:
            return None
        self._retries += 1
        await asyncio.sleep(pause)
        self._began = time.monotonic()
        return backend

    def _pause(self, error: BackendError) -> float | None:
        """Seconds until the same backend is asked again; None: it is not."""
        slow = time.monotonic() - self._began > _QUICK_SECONDS
        if self._retries >= MOST_RETRIES or self._rested or slow or error.reason not in _MAY_PASS:
            return None
        asked = retry_seconds(error.retry_after) or 0.0
        if asked > _MOST_PAUSE_SECONDS:
            return None
        return asked + _PAUSE_SECONDS * 2.0**self._retries * self._rng.uniform(0.5, 1.0)
