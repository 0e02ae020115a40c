"""What is said of budgets: the metric of what is left, and a log line where one only warns."""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from aiapp_service.limits.demand import NANO, BudgetDemand
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

_SAY_EACH_SECONDS = 60.0


@dataclass
class _Least:
    """Who has least left of a budget, as far as this replica has seen."""

    account: str
    left: int
    limit: int
    ends: float

    def dollars(self) -> float:
        """What is left now; a period that is over leaves nobody with less than all."""
        return (self.left if time.time() < self.ends else self.limit) / NANO


class BudgetReports:
    """For one configuration, whose budgets have these names."""

    def __init__(self, metrics: Metrics, budgets: Collection[str]) -> None:
        self._metric = metrics.budget_remaining
        # What the configuration before has said stays until there is something new to say.
        for family in self._metric.collect():
            for gone in {sample.labels["budget"] for sample in family.samples}.difference(budgets):
                self._metric.remove(gone)
        self._least: dict[str, _Least] = {}
        self._said_at: dict[str, float] = {}

    def left(self, share: BudgetDemand, spent: int) -> None:
        """`spent` of this account, with what is reserved."""
        name, left = share.budget.name, max(share.limit - spent, 0)
        least = self._least.get(name)
        if least is None:
            least = self._least[name] = _Least(share.account, left, share.limit, share.ends.timestamp())
            self._metric.labels(name).set_function(_reader(least))
        elif left < least.left or share.account == least.account or time.time() >= least.ends:
            least.account, least.left, least.ends = share.account, left, share.ends.timestamp()

    def exceeded(self, share: BudgetDemand) -> None:
        """A budget that only warns is used up; said in the log at most once a minute."""
        name, now = share.budget.name, time.monotonic()
        if now - self._said_at.get(name, float("-inf")) >= _SAY_EACH_SECONDS:
            self._said_at[name] = now
            log.warning("budget exceeded", extra={"budget": name, "limit_usd": str(share.budget.limit_usd)})


def _reader(least: _Least) -> Callable[[], float]:
    return least.dollars
