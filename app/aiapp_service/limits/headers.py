"""What responses say of limits, in the names and formats of OpenAI's API."""

from aiapp_service.limits.demand import MINUTE, Demand, Verdict

BUDGET_WARNING = "x-aiapp-budget-warning"


def rate_headers(demand: Demand, verdict: Verdict) -> dict[str, str]:
    """Limit, what is left of it, and when all of it is there again; of what is limited."""
    headers: dict[str, str] = {}
    for name, most, used in (
        ("requests", demand.rates.requests_per_minute, verdict.requests),
        ("tokens", demand.rates.tokens_per_minute, verdict.tokens),
    ):
        if most is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(most)
            headers[f"x-ratelimit-remaining-{name}"] = str(max(most * MINUTE - used, 0) // MINUTE)
            headers[f"x-ratelimit-reset-{name}"] = duration(-(-used // most))
    return headers


def duration(milliseconds: int) -> str:
    """As OpenAI writes it: `17ms`, `1.5s`, `6m0s`."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, MINUTE)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
