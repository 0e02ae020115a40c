"""What one request asks of the limits, and what they say to it. Nothing here counts anything.

Amounts of money are whole nano-dollars: what a replica adds and what Redis adds is the same to the last digit.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aiapp_service.config import BudgetConfig, RateLimitConfig

NANO = 1_000_000_000
# What is used of a rate is counted in sixty-thousandths: what drains of one a minute in a millisecond.
MINUTE = 60_000


class Limit(StrEnum):
    """What a request can be refused for."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class BudgetDemand:
    """A share of one budget. `account` names the budget, whose it is and the period, which ends at `ends`."""

    budget: BudgetConfig
    account: str
    limit: int
    cost: int
    blocks: bool
    ends: datetime


@dataclass(frozen=True, slots=True)
class Demand:
    """All that one request needs. `subject` names who shares the rates; `id` is this request's alone.

    `hold` is for how many milliseconds the request may keep what it took, unless it is renewed: whoever is killed
    gives it back then.
    """

    id: str
    subject: str
    rates: RateLimitConfig
    tokens: int
    hold: int
    budgets: tuple[BudgetDemand, ...] = ()

    @property
    def never_fits(self) -> bool:
        """Whether it has more tokens than anybody may use in a minute."""
        most = self.rates.tokens_per_minute
        return most is not None and self.tokens > most


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a demand, `refused` None: all of it is taken, else nothing is.

    `wait` is after how many milliseconds it is worth another try. `requests` and `tokens` are how much of a minute's
    allowance is in use now, in sixty-thousandths, `spent` how much of each budget, in their order, with what is
    reserved. `budget` is the index of the one that refused. `over` are the indices of those that are exceeded and only
    warn.
    """

    refused: Limit | None = None
    wait: int = 0
    requests: int = 0
    tokens: int = 0
    spent: tuple[int, ...] = ()
    budget: int = 0
    over: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a request took in the end: tokens, and nano-dollars."""

    demand: Demand
    tokens: int = 0
    cost: int = 0
