"""A backend as the router sees it, and what is known of its health."""

import time
from dataclasses import dataclass

from aiapp_service.config import PriceConfig
from aiapp_service.llm.upstream import BackendError, Reason, Upstream
from aiapp_service.telemetry.metrics import Metrics

# Being there says nothing about these: they pass with a request that succeeds, or with time.
_NOT_SEEN_BY_PROBES = frozenset({Reason.RATE_LIMITED, Reason.MODEL_MISSING})
STALE_SECONDS = 60.0


@dataclass(frozen=True)
class Down:
    """Why and since when (monotonic seconds) a backend does not serve."""

    reason: Reason
    message: str
    since: float


class Backend:
    """One model of one upstream. `name` is unique and the label of metrics."""

    def __init__(self, name: str, upstream: Upstream, model: str, price: PriceConfig | None, metrics: Metrics) -> None:
        self.name = name
        self.upstream = upstream
        self.model = model
        self.price = price
        self.down: Down | None = None
        self._gauge = metrics.backend_up.labels(name)
        self._gauge.set(1)

    def answered(self) -> None:
        """It served a request."""
        if self.down is not None:
            self.down = None
            self._gauge.set(1)

    def failed(self, error: BackendError) -> None:
        """It did not serve; how long that has been so counts from the first failure."""
        since = time.monotonic() if self.down is None else self.down.since
        self.down = Down(error.reason, str(error), since)
        self._gauge.set(0)

    def reached(self) -> None:
        """A probe found it there."""
        down = self.down
        if down is None:
            return
        if down.reason in _NOT_SEEN_BY_PROBES and time.monotonic() - down.since < STALE_SECONDS:
            return
        self.answered()
