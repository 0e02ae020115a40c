"""Limits that are counted in this process: where there is no Redis, and while it does not answer.

They follow the same rules as the scripts for Redis, to the digit; the tests hold the two against each other.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiapp_service.limits.demand import MINUTE, Demand, Limit, Settlement, Verdict
from aiapp_service.limits.held import Held

SLOT_WAIT = 1000
# Whoever has been quiet for two minutes has nothing left that counts.
QUIET = 2 * MINUTE
_LOOK_AFTER_EACH = 1000


@dataclass
class _Rates:
    """What one subject uses: buckets that leak, and slots."""

    at: int
    requests: int = 0
    tokens: int = 0
    slots: Held = field(default_factory=Held)

    def is_idle(self, now: int) -> bool:
        self.slots.expire(now)
        return now - self.at > QUIET and not self.slots


@dataclass
class _Account:
    """What was spent of one budget in one period, and what is held of it. `ends` is seconds since 1970."""

    ends: float
    spent: int = 0
    held: Held = field(default_factory=Held)


class LocalLimits:
    """One for a process. `clock` gives seconds, `calendar` seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, calendar: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._calendar = calendar
        self._rates: dict[str, _Rates] = {}
        self._accounts: dict[str, _Account] = {}
        self._asked = 0

    def admit(self, demand: Demand) -> Verdict:
        """Take all of it, or nothing."""
        now = round(self._clock() * 1000)
        self._forget_the_quiet(now)
        rates = self._rates.get(demand.subject) or _Rates(now)
        limits = demand.rates
        requests = _drained(rates.requests, now - rates.at, limits.requests_per_minute)
        tokens = _drained(rates.tokens, now - rates.at, limits.tokens_per_minute)
        refused, wait = _look_at_rates(demand, rates.slots, requests, tokens, now)
        accounts = [self._account(share.account, share.ends.timestamp()) for share in demand.budgets]
        spent = [_total(account, now) for account in accounts]
        blocking, over = _look_at_budgets(demand, spent)
        if blocking is not None:
            refused, wait = Limit.BUDGET, 0
        if refused is None:
            requests += 0 if limits.requests_per_minute is None else MINUTE
            tokens += 0 if limits.tokens_per_minute is None else demand.tokens * MINUTE
            self._rates[demand.subject] = rates
            rates.requests, rates.tokens, rates.at = requests, tokens, now
            if limits.concurrent_requests is not None:
                rates.slots.take(demand.id, 1, now + demand.hold)
            for share, account in zip(demand.budgets, accounts, strict=True):
                account.held.take(demand.id, share.cost, now + demand.hold)
            spent = [_total(account, now) for account in accounts]
        return Verdict(refused, wait, requests, tokens, tuple(spent), blocking or 0, tuple(over))

    def settle(self, settlement: Settlement) -> None:
        """Give back what it held, and count what it took."""
        now = round(self._clock() * 1000)
        demand = settlement.demand
        rates = self._rates.get(demand.subject)
        if rates is not None:
            rates.slots.give_back(demand.id)
            if demand.rates.tokens_per_minute is not None:
                # As if it had been known from the start, but what has drained meanwhile cannot be given back.
                drained = max(0, now - rates.at) * demand.rates.tokens_per_minute
                more = (settlement.tokens - demand.tokens) * MINUTE
                rates.tokens = max(max(rates.tokens, drained) + more, drained)
        for share in demand.budgets:
            account = self._account(share.account, share.ends.timestamp())
            account.held.give_back(demand.id)
            account.spent += settlement.cost

    def _account(self, name: str, ends: float) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account(ends)
        return account

    def _forget_the_quiet(self, now: int) -> None:
        self._asked += 1
        if self._asked % _LOOK_AFTER_EACH == 0:
            self._rates = {name: rates for name, rates in self._rates.items() if not rates.is_idle(now)}
            today = self._calendar()
            self._accounts = {name: account for name, account in self._accounts.items() if account.ends > today}


def _drained(used: int, milliseconds: int, per_minute: int | None) -> int:
    return 0 if per_minute is None else max(0, used - max(0, milliseconds) * per_minute)


def _total(account: _Account, now: int) -> int:
    account.held.expire(now)
    return account.spent + account.held.total


def _look_at_rates(demand: Demand, slots: Held, requests: int, tokens: int, now: int) -> tuple[Limit | None, int]:
    """The limit that takes longest to have room again, and how long; None where all have room."""
    limits = demand.rates
    refused: Limit | None = None
    wait = 0
    slots.expire(now)
    if limits.concurrent_requests is not None and len(slots) >= limits.concurrent_requests:
        refused, wait = Limit.CONCURRENT, SLOT_WAIT
    for limit, most, used, wanted in (
        (Limit.REQUESTS, limits.requests_per_minute, requests, 1),
        (Limit.TOKENS, limits.tokens_per_minute, tokens, demand.tokens),
    ):
        if most is None:
            continue
        longer = -(-(used + wanted * MINUTE - most * MINUTE) // most)
        if longer > wait:
            refused, wait = limit, longer
    return refused, wait


def _look_at_budgets(demand: Demand, spent: Sequence[int]) -> tuple[int | None, list[int]]:
    """The first budget that has no room and blocks, and those that have none and only warn."""
    blocking, over = None, []
    for number, (share, total) in enumerate(zip(demand.budgets, spent, strict=True)):
        if total < share.limit and total + share.cost <= share.limit:
            continue
        if not share.blocks:
            over.append(number)
        elif blocking is None:
            blocking = number
    return blocking, over
