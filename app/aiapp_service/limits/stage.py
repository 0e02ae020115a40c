"""The stage that lets a request through when all limits have room for it, and settles when it is over."""

import logging
import time
from dataclasses import replace
from typing import Protocol

from aiapp_service.config import ServiceConfig
from aiapp_service.limits.budget_reports import BudgetReports
from aiapp_service.limits.demand import Demand, Settlement, Verdict
from aiapp_service.limits.demands import Demands, is_limited
from aiapp_service.limits.estimate import nano
from aiapp_service.limits.headers import BUDGET_WARNING, rate_headers
from aiapp_service.limits.local import LocalLimits
from aiapp_service.limits.refusal import refusal, unavailable
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

_SAY_EACH_SECONDS = 60.0
# What is counted in this process goes with it: nothing has to end by itself.
_OWN_LIFE = 7 * 24 * 3600 * 1000


class Shared(Protocol):
    """Limits that all replicas count together; see `limits.shared`."""

    async def admit(self, demand: Demand) -> Verdict:
        """Take all of it, or nothing; raises StoreDown."""

    def settle(self, settlement: Settlement) -> None:
        """Give back what it held, and count what it took."""

    def spent_without(self, settlement: Settlement) -> None:
        """Count what a request took that was admitted elsewhere."""


class Limits:
    """The limits of one configuration. `admit` is a stage, `settle` is for `accounting`."""

    def __init__(self, config: ServiceConfig, shared: Shared | None, local: LocalLimits, metrics: Metrics) -> None:
        self._demands = Demands(config)
        self._fail_open = config.fail_open
        self._shared = shared
        self._local = local
        self._reports = BudgetReports(metrics, [budget.name for budget in config.budgets])
        # What is to be settled, and whether it was admitted by the others' count.
        self._under_way: dict[int, tuple[Demand, bool]] = {}
        self._said_at = float("-inf")

    async def admit(self, exchange: Exchange, following: Next) -> Outcome:
        """Go on, or refuse with ApiError."""
        demand = self._demands.of(exchange)
        if demand is not None:
            verdict, is_shared = await self._verdict(demand)
            if verdict.refused is None:
                self._under_way[id(exchange)] = demand, is_shared
            exchange.call.headers.update(rate_headers(demand, verdict))
            self._report(demand, verdict, exchange.call)
            if verdict.refused is not None:
                raise refusal(demand, verdict)
        return await following(exchange)

    async def settle(self, exchange: Exchange) -> None:
        """Count what the request took, its usage and cost being known. Does not wait."""
        demand, is_shared = self._under_way.pop(id(exchange), (None, False))
        if demand is None:
            return
        call = exchange.call
        tokens = 0 if call.usage is None or call.cache else call.usage.input + call.usage.output
        cost = 0 if call.cost is None or call.cache else nano(call.cost)
        settlement = Settlement(demand, tokens, cost)
        if self._shared is None:
            self._local.settle(settlement)
        elif is_shared:
            self._shared.settle(settlement)
        else:
            self._local.settle(replace(settlement, demand=replace(demand, budgets=())))
            self._shared.spent_without(settlement)

    async def _verdict(self, demand: Demand) -> tuple[Verdict, bool]:
        """What becomes of it, and whether all replicas were asked."""
        if self._shared is None:
            return self._local.admit(replace(demand, hold=_OWN_LIFE)), False
        try:
            return await self._shared.admit(demand), True
        except StoreDown as error:
            self._say(error)
            if not self._fail_open:
                raise unavailable() from error
            return self._local.admit(replace(demand, budgets=(), hold=_OWN_LIFE)), False

    def _report(self, demand: Demand, verdict: Verdict, call: Call) -> None:
        for share, spent in zip(demand.budgets, verdict.spent, strict=False):
            self._reports.left(share, spent)
        if verdict.over:
            over = [demand.budgets[number] for number in verdict.over]
            call.headers[BUDGET_WARNING] = ", ".join(share.budget.name for share in over)
            for share in over:
                self._reports.exceeded(share)

    def _say(self, error: StoreDown) -> None:
        now = time.monotonic()
        if now - self._said_at >= _SAY_EACH_SECONDS:
            self._said_at = now
            log.warning("limits are not shared", extra={"error": str(error), "refused": not self._fail_open})


def limits(config: ServiceConfig, shared: Shared | None, local: LocalLimits, metrics: Metrics) -> Limits | None:
    """The limits of `config`; None where nothing is limited, nor can be by a key's own limits."""
    if not config.budgets and not is_limited(config.rate_limit) and config.auth.api_keys_dir is None:
        return None
    return Limits(config, shared, local, metrics)
