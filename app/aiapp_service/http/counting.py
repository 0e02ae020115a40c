"""What a request that is over adds to the metrics.

Looking up a series by its labels costs more than adding to it, so those in use are kept at hand; clients cannot make
new ones, so there are few.
"""

from collections.abc import Callable

from aiapp_service.pipeline.call import Call
from aiapp_service.telemetry.metrics import Metrics

_Add = Callable[[float], None]


class Counting:
    """Of one process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._adds: dict[tuple[str, ...], _Add] = {}

    def count(self, call: Call, status: int) -> None:
        """Add `call`, which was answered with `status`."""
        if call.endpoint is None:
            return
        metrics, model, endpoint = self._metrics, call.model, call.endpoint.value
        self._add("requests", lambda *of: metrics.requests.labels(*of).inc, model, endpoint, str(status))(1)
        if call.backend is not None and call.complete:
            self._add("latency", lambda *of: metrics.latency.labels(*of).observe, model, endpoint)(call.seconds)
        if call.first_token_seconds is not None:
            self._add("ttft", lambda *of: metrics.first_token.labels(*of).observe, model)(call.first_token_seconds)
        if call.truncated:
            metrics.truncated.labels(model).inc()
        if call.usage is not None:
            for type_, tokens in call.usage.by_type().items():
                self._add("tokens", lambda *of: metrics.tokens.labels(*of).inc, model, type_, endpoint)(tokens)
        if call.cost is not None:
            self._add("cost", lambda *of: metrics.cost.labels(*of).inc, model)(float(call.cost))

    def _add(self, name: str, make: Callable[..., _Add], *labels: str) -> _Add:
        """What adds to the series of the metric with these labels."""
        key = (name, *labels)
        add = self._adds.get(key)
        if add is None:
            add = self._adds[key] = make(*labels)
        return add
