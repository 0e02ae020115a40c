"""What clients read of limits: durations, dates, errors."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from aiapp_service.config import BudgetConfig, BudgetPeriod, RateLimitConfig
from aiapp_service.limits.demand import MINUTE, BudgetDemand, Demand, Limit, Verdict
from aiapp_service.limits.headers import duration, rate_headers
from aiapp_service.limits.period import Calendar
from aiapp_service.limits.refusal import refusal


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0ms"),
        (17, "17ms"),
        (1000, "1s"),
        (1500, "1.5s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (361_250, "6m1.25s"),
    ],
)
def test_durations_are_openais(milliseconds, text):
    assert duration(milliseconds) == text


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "period", "name", "ends"),
    [
        ("2026-11-24T15:00:00", BudgetPeriod.DAY, "2026-11-24", "2026-11-25"),
        ("2026-11-24T15:00:00", BudgetPeriod.MONTH, "2026-11", "2026-12-01"),
        ("2026-12-31T23:59:59.999", BudgetPeriod.DAY, "2026-12-31", "2027-01-01"),
        ("2026-12-31T23:59:59.999", BudgetPeriod.MONTH, "2026-12", "2027-01-01"),
        ("2028-02-29T00:00:00", BudgetPeriod.MONTH, "2028-02", "2028-03-01"),
        ("2028-01-31T12:00:00", BudgetPeriod.MONTH, "2028-01", "2028-02-01"),
    ],
)
def test_periods(now, period, name, ends):
    assert Calendar().at(at(now).timestamp(), period) == (name, at(ends))


def test_calendar_turns_its_page_at_midnight_in_either_direction():
    calendar = Calendar()
    midnight = at("2026-12-01").timestamp()
    names = [calendar.at(midnight + seconds, BudgetPeriod.MONTH)[0] for seconds in (-0.001, 0, 86_400, -0.001)]
    assert names == ["2026-11", "2026-12", "2026-12", "2026-11"]


RATES = RateLimitConfig(requests_per_minute=60, tokens_per_minute=1000)
BUDGET = BudgetConfig(name="monthly", limit_usd=Decimal(500))
SHARE = BudgetDemand(BUDGET, "a", 500 * 10**9, 25 * 10**6, True, at("2026-12-01"))
DEMAND = Demand("id", "key alice", RATES, tokens=10, hold=1000, budgets=(SHARE,))


def test_headers():
    assert rate_headers(DEMAND, Verdict(requests=MINUTE + 1, tokens=990 * MINUTE)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "58",
        "x-ratelimit-reset-requests": "1.001s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "59.4s",
    }


def test_remaining_is_never_negative():
    """A limit was lowered, or more came out than was reserved."""
    headers = rate_headers(DEMAND, Verdict(requests=90 * MINUTE, tokens=2000 * MINUTE))
    assert headers["x-ratelimit-remaining-requests"] == headers["x-ratelimit-remaining-tokens"] == "0"


@pytest.mark.parametrize(
    ("verdict", "words", "retry_after"),
    [
        (
            Verdict(Limit.REQUESTS, 1200),
            "rate limit reached for key alice: 60 requests per minute; try again in 1.2s",
            "2",
        ),
        (
            Verdict(Limit.TOKENS, 300),
            (
                "rate limit reached for key alice: 1000 tokens per minute, of which this request may take 10; "
                "try again in 300ms"
            ),
            "1",
        ),
        (
            Verdict(Limit.BUDGET, spent=(499_990_000_000,)),
            (
                "budget monthly has $0.01 left, and this request may cost $0.025: $500 a month per tenant; "
                "it begins anew on 2026-12-01T00:00:00Z"
            ),
            None,
        ),
    ],
)
def test_refusals(verdict, words, retry_after):
    error = refusal(DEMAND, verdict)
    assert str(error) == words
    assert error.status == 429
    assert error.headers.get("Retry-After") == retry_after
