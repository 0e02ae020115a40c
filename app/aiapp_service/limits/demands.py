"""Request -> what it asks of the limits of one configuration."""

import hashlib
import ipaddress
import time
import uuid

from aiapp_service.config import BudgetAction, BudgetConfig, BudgetScope, LimitScope, RateLimitConfig, ServiceConfig
from aiapp_service.limits.demand import BudgetDemand, Demand
from aiapp_service.limits.estimate import dearest, estimated, nano
from aiapp_service.limits.period import Calendar
from aiapp_service.llm.usage import Usage
from aiapp_service.pipeline.exchange import Exchange
from aiapp_service.pipeline.principal import Principal

# A request that is over is settled well within this time.
MARGIN_SECONDS = 5.0
# For so long at most a replica that was killed keeps what its requests held. Those that take longer renew it.
LEASE_SECONDS = 60.0
# What callers without a key or tenant spend counts together: addresses are cheap.
ANONYMOUS = "anonymous"
_IPV6_NETWORK = 64
_LONGEST_NAME = 128


class Demands:
    """Makes the demands of requests."""

    def __init__(self, config: ServiceConfig) -> None:
        self._rates = config.rate_limit
        self._budgets = [(budget, nano(budget.limit_usd)) for budget in config.budgets]
        self._calendar = Calendar()
        self._prefix = uuid.uuid4().hex[:12]
        self._number = 0

    def of(self, exchange: Exchange) -> Demand | None:
        """What this request needs; None: it is not limited at all."""
        principal = exchange.call.principal
        rates = principal.rate_limit or self._rates
        if not self._budgets and not is_limited(rates):
            return None
        usage = Usage()
        if self._budgets or rates.tokens_per_minute is not None:
            usage = estimated(exchange.endpoint, exchange.body, rates.tokens_per_minute)
        self._number += 1
        return Demand(
            id=f"{self._prefix}{self._number:x}",
            subject=_subject(principal, rates.per),
            rates=rates,
            tokens=usage.input + usage.output,
            hold=int(min(exchange.route.timeouts.total + MARGIN_SECONDS, LEASE_SECONDS) * 1000),
            budgets=self._shares(principal, dearest(usage, exchange.route)) if self._budgets else (),
        )

    def _shares(self, principal: Principal, cost: int) -> tuple[BudgetDemand, ...]:
        now = time.time()
        return tuple([self._share(budget, limit, principal, cost, now) for budget, limit in self._budgets])

    def _share(self, budget: BudgetConfig, limit: int, principal: Principal, cost: int, now: float) -> BudgetDemand:
        period, ends = self._calendar.at(now, budget.period)
        account = f"{budget.name}:{period}:{budget.per}:{_spender(principal, budget.per)}"
        return BudgetDemand(budget, account, limit, cost, budget.on_exceeded is BudgetAction.BLOCK, ends)


def is_limited(rates: RateLimitConfig) -> bool:
    """Whether there is any limit in it."""
    most = (rates.requests_per_minute, rates.tokens_per_minute, rates.concurrent_requests)
    return most != (None, None, None)


def _subject(principal: Principal, per: LimitScope) -> str:
    """Who shares a limit, in words that an error may use; callers without a name are told by their address."""
    if per is LimitScope.KEY and principal.key:
        return f"key {_short(principal.key)}"
    if per is LimitScope.TENANT and principal.tenant:
        return f"tenant {_short(principal.tenant)}"
    return f"address {_network(principal.address)}"


def _spender(principal: Principal, per: BudgetScope) -> str:
    if per is BudgetScope.APP:
        return ""
    return _short(principal.tenant if per is BudgetScope.TENANT else principal.key) or ANONYMOUS


def _short(name: str) -> str:
    """Tokens may have names of any length, and each becomes a key in Redis."""
    return name if len(name) <= _LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest()


def _network(address: str) -> str:
    """The address; with IPv6 the network, for all of it belongs to one customer."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> _IPV6_NETWORK << _IPV6_NETWORK, _IPV6_NETWORK)))
