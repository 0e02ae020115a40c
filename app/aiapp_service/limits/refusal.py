"""How a request is told that it is beyond a limit: which one, and when it is worth another try."""

import math

from aiapp_service.config import BudgetPeriod, BudgetScope
from aiapp_service.http.errors import ApiError
from aiapp_service.limits.demand import NANO, Demand, Limit, Verdict
from aiapp_service.limits.headers import duration

# Clients of OpenAI obey this one; trying again would not help.
_NO_RETRY = {"x-should-retry": "false"}
_WHOSE = {BudgetScope.APP: "for the app", BudgetScope.TENANT: "per tenant", BudgetScope.KEY: "per key"}
_EACH = {BudgetPeriod.DAY: "a day", BudgetPeriod.MONTH: "a month"}


def refusal(demand: Demand, verdict: Verdict) -> ApiError:
    """The answer to a refused request: 429 in OpenAI's words."""
    if verdict.refused is Limit.BUDGET:
        return _out_of_budget(demand, verdict)
    if verdict.refused is Limit.TOKENS and demand.never_fits:
        return _too_large(demand)
    rates, subject = demand.rates, demand.subject
    limit = {
        Limit.REQUESTS: f"{rates.requests_per_minute} requests per minute",
        Limit.TOKENS: f"{rates.tokens_per_minute} tokens per minute, of which this request may take {demand.tokens}",
        Limit.CONCURRENT: f"{rates.concurrent_requests} requests at the same time",
    }[verdict.refused or Limit.REQUESTS]
    return ApiError(
        429,
        f"rate limit reached for {subject}: {limit}; try again in {duration(verdict.wait)}",
        type_="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"Retry-After": str(math.ceil(verdict.wait / 1000)), "retry-after-ms": str(verdict.wait)},
    )


def unavailable() -> ApiError:
    """503: limits cannot be asked for, and the configuration wants no requests then."""
    return ApiError(
        503,
        "limits and budgets cannot be asked for at the moment; try again soon",
        type_="server_error",
        code="limits_unavailable",
        headers={"Retry-After": "1"},
    )


def _too_large(demand: Demand) -> ApiError:
    return ApiError(
        429,
        f"the request is too large for {demand.subject}: it may take {demand.tokens} tokens, and "
        f"{demand.rates.tokens_per_minute} tokens per minute are allowed; shorten it, or ask for fewer with max_tokens",
        type_="rate_limit_error",
        code="rate_limit_exceeded",
        headers=_NO_RETRY,
    )


def _out_of_budget(demand: Demand, verdict: Verdict) -> ApiError:
    share = demand.budgets[verdict.budget]
    budget = share.budget
    left = max(share.limit - verdict.spent[verdict.budget], 0)
    return ApiError(
        429,
        f"budget {budget.name} has {_dollars(left)} left, and this request may cost {_dollars(share.cost)}: "
        f"${budget.limit_usd} {_EACH[budget.period]} {_WHOSE[budget.per]}; "
        f"it begins anew on {share.ends:%Y-%m-%dT%H:%M:%SZ}",
        type_="insufficient_quota",
        code="insufficient_quota",
        headers=_NO_RETRY,
    )


def _dollars(amount: int) -> str:
    return "$" + f"{amount / NANO:.6f}".rstrip("0").rstrip(".")
