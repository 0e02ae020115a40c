"""Prometheus metrics of the service. Names and labels are an interface: dashboards and autoscalers use them.

`model` is always a configured name, `endpoint` one of ours: clients cannot make new series.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

UNKNOWN = "unknown"
_LATENCY_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        # When a series began is of no use to anybody here, and doubles their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the client does not type it
        self.registry = CollectorRegistry()
        registry = self.registry
        self.tokens = Counter(
            "ai_tokens_total",
            "Tokens by type: input, output, and of these cached, cache_write, reasoning, audio_input, audio_output.",
            ["model", "type", "endpoint"],
            registry=registry,
        )
        self.latency = Histogram(
            "ai_llm_latency_seconds",
            "From the request to the end of the answer.",
            ["model", "endpoint"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.first_token = Histogram(
            "ai_ttft_seconds",
            "From the request to the first token of a stream.",
            ["model"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        # No Counter: the library would name it ai_cost_usd_total.
        self.cost = Gauge(
            "ai_cost_usd", "What priced backends will charge, in US dollars.", ["model"], registry=registry
        )
        self.active = Gauge("ai_active_requests", "Requests to models under way.", registry=registry)
        self.requests = Counter(
            "ai_requests_total",
            "Requests by HTTP status; 499: the client left.",
            ["model", "endpoint", "code"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "ai_fallbacks_total",
            "Requests passed from one backend to the next.",
            ["model", "from", "to", "reason"],
            registry=registry,
        )
        self.backend_up = Gauge(
            "ai_backend_up", "1 while a backend answers, 0 while it does not.", ["backend"], registry=registry
        )
        self.inference_requests = Gauge(
            "ai_inference_requests",
            "Requests that are under way at a model server that may have no pods, or wait for it.",
            ["inference"],
            registry=registry,
        )
        self.truncated = Counter(
            "ai_streams_truncated_total", "Streams that ended before they were complete.", ["model"], registry=registry
        )
        self.violations = Counter(
            "ai_guardrail_violations_total",
            "What guardrails found, by what they did about it.",
            ["guardrail", "action"],
            registry=registry,
        )
        self.cache = Counter(
            "ai_cache_total", "Look-ups by kind (exact, semantic) and result.", ["kind", "result"], registry=registry
        )
        self.budget_remaining = Gauge(
            "ai_budget_remaining_usd",
            "What is left of a budget in its period, of whoever has least.",
            ["budget"],
            registry=registry,
        )
        self.queue_depth = Gauge("ai_queue_depth", "Jobs that wait, run or are due.", ["queue"], registry=registry)
        self.queue_oldest_age = Gauge(
            "ai_queue_oldest_age_seconds",
            "How long the job has waited that has waited longest, beyond what it was meant to.",
            ["queue"],
            registry=registry,
        )
