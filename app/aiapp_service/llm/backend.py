"""A backend as the router sees it: where it is, what it costs, and what is known of it."""

import logging
import time
from collections.abc import Hashable
from typing import Protocol

from aiapp_service.config import PriceConfig
from aiapp_service.llm.load import Load
from aiapp_service.llm.replicas import ReplicaSet
from aiapp_service.llm.standing import Down, Standing, Turn
from aiapp_service.llm.upstream import BackendError, Reason, Upstream
from aiapp_service.llm.waking import Waking
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class _Gauge(Protocol):
    def set(self, value: float) -> None: ...


class Known:
    """What is known of a backend. It outlives a change of configuration that leaves the backend as it is.

    `place` tells this backend from others: where it is and which model.
    """

    def __init__(self, name: str, place: Hashable) -> None:
        self.name = name
        self.place = place
        self.standing = Standing()
        self.load = Load()
        self._gauge: _Gauge | None = None
        self._up = True
        self._rests = False

    def publish(self, metrics: Metrics) -> None:
        """Be seen as a series of ai_backend_up from now on."""
        self._gauge = metrics.backend_up.labels(self.name)
        self._gauge.set(self._up)

    def tell(self) -> None:
        """Bring the series up to date, and log when it begins to rest or serves again."""
        down, rests = self.standing.down, self.standing.resting_until is not None
        if self._up is not (down is None):
            self._up = down is None
            if self._gauge is not None:
                self._gauge.set(self._up)
        if rests is self._rests:
            return
        self._rests = rests
        if down is not None:
            log.warning("backend rests", extra={"backend": self.name, "reason": down.reason.value})
        else:
            log.info("backend serves again", extra={"backend": self.name})


class Backend:
    """One model of one upstream. `name` is unique within a route and the label of metrics.

    `known` is shared by all routes with this backend; without it nothing is known yet. `replicas` are there where
    the upstream is a set of equal servers, `waking` where it may have none.
    """

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        model: str,
        price: PriceConfig | None,
        metrics: Metrics,
        *,
        weight: int = 1,
        context_window: int | None = None,
        known: Known | None = None,
        replicas: ReplicaSet | None = None,
        waking: Waking | None = None,
    ) -> None:
        self.name = name
        self.upstream = upstream
        self.model = model
        self.price = price
        self.weight = weight
        self.context_window = context_window
        self.replicas = replicas
        self.waking = waking
        if known is None:
            known = Known(name, (name, model))
            known.publish(metrics)
        self.known = known

    @property
    def down(self) -> Down | None:
        """Why it did not serve the last request; None: it did."""
        return self.known.standing.down

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self.known.load.in_flight

    def expected(self, now: float, *, streamed: bool) -> float | None:
        """Seconds an answer takes; None where none was seen."""
        return self.known.load.expected(now, streamed=streamed)

    def rests(self, now: float) -> bool:
        """Whether others should be asked first."""
        return self.known.standing.rests(now)

    def begin(self) -> Turn:
        """A request is about to be sent; `over` has to follow."""
        return self.known.standing.begin(time.monotonic())

    def over(self, turn: Turn) -> None:
        """Whatever came of it."""
        self.known.standing.over(turn)

    def answered(self, turn: Turn) -> None:
        """It served a request."""
        self.known.standing.answered(turn, time.monotonic())
        self.known.tell()

    def failed(self, error: BackendError, turn: Turn | None = None) -> None:
        """It did not serve one."""
        now = time.monotonic()
        self.known.standing.failed(turn or Turn(now), error, now)
        self.known.tell()

    def reached(self) -> None:
        """A probe found it there."""
        self.known.standing.reached(time.monotonic())
        self.known.tell()

    def missed(self, error: BackendError) -> None:
        """A probe did not."""
        if self.waking is not None and error.reason is Reason.CONNECT:
            return  # it comes when it is asked
        self.known.standing.missed(error, time.monotonic())
        self.known.tell()
