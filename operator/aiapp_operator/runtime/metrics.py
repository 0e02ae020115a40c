"""Prometheus metrics of the operator."""

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.reconciles = Counter("aiapp_reconcile_total", "Reconciles by outcome.", ["outcome"], registry=registry)
        self.reconcile_seconds = Histogram(
            "aiapp_reconcile_duration_seconds",
            "How long a reconcile took.",
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self.queue_depth = Gauge("aiapp_queue_depth", "AIApps that wait for a worker.", registry=registry)
        self.queue_seconds = Histogram(
            "aiapp_queue_latency_seconds",
            "How long an AIApp waited for a worker.",
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self.retries = Counter("aiapp_queue_retries_total", "Reconciles put back after a failure.", registry=registry)
        self.applies = Counter("aiapp_apply_total", "Children by what was done.", ["kind", "result"], registry=registry)
        self.requests = Counter(
            "aiapp_api_requests_total", "Requests to the API server.", ["verb", "kind", "code"], registry=registry
        )
        self.watch_restarts = Counter(
            "aiapp_watch_restarts_total", "Watches that broke or became too old.", ["kind"], registry=registry
        )
        self.last_event_age = Gauge(
            "aiapp_watch_last_event_age_seconds", "Seconds since a watch was last heard.", ["kind"], registry=registry
        )
        self.apps = Gauge("aiapp_apps", "AIApps by the reason of their Ready condition.", ["reason"], registry=registry)
        self.leader = Gauge("aiapp_leader", "1 while this process leads.", registry=registry)
        self.schema_missing = Gauge(
            "aiapp_crd_missing_fields", "Fields that this version needs and the installed CRD lacks.", registry=registry
        )

    def count_request(self, verb: str, kind: str, status: int) -> None:
        """One finished request to the API server."""
        self.requests.labels(verb, kind, str(status)).inc()

    def count_apply(self, kind: str, result: str) -> None:
        """One child looked at."""
        self.applies.labels(kind, result).inc()

    def set_apps(self, reasons: Tally[str]) -> None:
        """AIApps by Ready reason; reasons that nobody has any more go."""
        self.apps.clear()
        for reason, count in sorted(reasons.items()):
            self.apps.labels(reason).set(count)
