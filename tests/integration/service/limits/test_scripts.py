"""The scripts in a real Redis do what the limits in a process do, whatever comes in whichever order.

Time is given to the scripts here, so that minutes pass at once.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import redis as driver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiapp_service.config import BudgetAction, BudgetConfig, RateLimitConfig
from aiapp_service.limits import shared
from aiapp_service.limits.demand import MINUTE, BudgetDemand, Demand, Limit, Settlement, Verdict
from aiapp_service.limits.local import LocalLimits
from tests.integration.servers.redis import RedisServer

ASKS_TIME = "redis.call('TIME')"
ADMIT, SETTLE = (source.replace(ASKS_TIME, "{KEYS[2], KEYS[3]}") for source in (shared._ADMIT, shared._SETTLE))
# Redis forgets by its own clock.
ENDS = datetime(2100, 1, 1, tzinfo=UTC)
START = 1_700_000_000_000
SUBJECTS = ("key a", "key b")


@dataclass
class Both:
    """The scripts and the model, asked the same at the same time (milliseconds)."""

    client: driver.Redis
    now: int = START
    batches: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = LocalLimits(clock=lambda: self.now / 1000, calendar=lambda: 0.0)
        self.client.flushdb()

    def _run(self, source: str, *arguments: str) -> Any:
        seconds, milliseconds = divmod(self.now, 1000)
        return self.client.eval(source, 3, "p:", str(seconds), str(milliseconds * 1000), *arguments)

    def admit(self, *demands: Demand) -> list[Verdict]:
        answered = json.loads(self._run(ADMIT, json.dumps([shared._asked(demand) for demand in demands])))
        verdicts = [shared._verdict(fields) for fields in answered]
        assert verdicts == [self.model.admit(demand) for demand in demands]
        return verdicts

    def settle(self, settlement: Settlement) -> None:
        more = settlement.tokens - settlement.demand.tokens
        self.batches.append(json.dumps([shared._settled(settlement.demand, more, settlement.cost)]))
        self._run(SETTLE, "sender", str(len(self.batches)), self.batches[-1])
        self.model.settle(settlement)

    def settle_again(self, number: int) -> None:
        """As when the answer to a batch was lost."""
        assert not self._run(SETTLE, "sender", str(number + 1), self.batches[number])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests.integration.servers.redis import redis_server  # noqa: PLC0415  # only where there is no Redis yet

    with redis_server(tmp_path_factory.mktemp("redis") / "home") as server, connection(server) as client:
        yield lambda: Both(client)


def connection(server: RedisServer) -> driver.Redis:
    return driver.Redis.from_url(server.url, decode_responses=True)


def share(name: str = "b", limit: int = 100, cost: int = 10, *, blocks: bool = True) -> BudgetDemand:
    action = BudgetAction.BLOCK if blocks else BudgetAction.WARN
    budget = BudgetConfig(name=name, limit_usd=Decimal(1), on_exceeded=action)
    return BudgetDemand(budget, f"{name}:2026-11:Tenant:t", limit, cost, blocks, ENDS)


def demand(id_: str, rates: RateLimitConfig, **fields: Any) -> Demand:
    return replace(Demand(id_, "key a", rates, tokens=1, hold=30_000), **fields)


def test_the_time_is_asked_for_once_in_each():
    assert [source.count(ASKS_TIME) for source in (shared._ADMIT, shared._SETTLE)] == [1, 1]


limit = st.none() | st.integers(1, 6)
budgets = st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(0, 1), st.integers(0, 4), st.integers(0, 20)),
        st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 6), st.integers(0, 30)),
        st.tuples(st.just("again"), st.integers(0, 9), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 40_000), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=limit, tokens=limit, slots=limit, wanted=budgets, steps=steps)
def test_scripts_and_model_agree(both, requests, tokens, slots, wanted, steps) -> None:
    rates = RateLimitConfig(requests_per_minute=requests, tokens_per_minute=tokens, concurrent_requests=slots)
    pair = both()
    admitted: list[Demand] = []
    for number, (what, first, second, third) in enumerate(steps):
        if what == "admit":
            shares = tuple(share(f"b{n}", most, third, blocks=blocks) for n, (most, blocks) in enumerate(wanted))
            one = demand(f"id{number}", rates, subject=SUBJECTS[first], tokens=second, budgets=shares)
            admitted += [one] if pair.admit(one)[0].refused is None else []
        elif what == "settle" and first < len(admitted):
            pair.settle(Settlement(admitted.pop(first), second, third))
        elif what == "again" and first < len(pair.batches):
            pair.settle_again(first)
        elif what == "wait":
            pair.now += first
    for one in admitted:
        pair.settle(Settlement(one))
    pair.now += 30_000
    pair.admit(demand("last", rates, budgets=tuple(share(f"b{n}", 0, 0) for n in range(2))))
    assert not any(pair.client.zcard(key) for key in pair.client.scan_iter("p:*:held")), "nothing is held any more"


RATE = RateLimitConfig(requests_per_minute=60)


def test_a_burst_over_the_edge_of_a_minute_does_not_double(both) -> None:
    """60 a minute: all at once, but then one a second, whatever the clock on the wall says."""
    pair = both()
    pair.now = START - START % MINUTE + 59_900
    assert sum(v.refused is None for v in pair.admit(*(demand(f"x{n}", RATE) for n in range(100)))) == 60
    pair.now += 200
    assert pair.admit(demand("y", RATE))[0] == Verdict(Limit.REQUESTS, 800, 60 * MINUTE - 200 * 60)
    pair.now += 799
    assert pair.admit(demand("y", RATE))[0].wait == 1
    pair.now += 1
    assert pair.admit(demand("y", RATE))[0].refused is None
    pair.now += MINUTE
    assert sum(v.refused is None for v in pair.admit(*(demand(f"z{n}", RATE) for n in range(100)))) == 60


def test_what_is_held_is_free_again_by_itself(both) -> None:
    rates = RateLimitConfig(concurrent_requests=1)
    pair = both()
    lost = demand("lost", rates, hold=30_000, budgets=(share(limit=10, cost=10),))
    assert pair.admit(lost)[0].refused is None
    pair.now += 29_999
    assert pair.admit(replace(lost, id="next"))[0].refused is Limit.BUDGET
    assert pair.admit(demand("next", rates))[0].refused is Limit.CONCURRENT
    pair.now += 1
    assert pair.admit(replace(lost, id="next"))[0].refused is None


def test_late_settlement_counts_once(both) -> None:
    """Its share had been given back by time; what was spent is spent."""
    pair = both()
    late = demand("late", RATE, budgets=(share(limit=100, cost=10),))
    pair.admit(late)
    pair.now += 40_000
    pair.admit(replace(late, id="other"))
    pair.settle(Settlement(late, 5, 40))
    pair.settle_again(0)
    assert pair.admit(replace(late, id="last"))[0].spent == (60,)


def test_refused_takes_nothing_of_anything(both) -> None:
    pair = both()
    rates = RateLimitConfig(requests_per_minute=10, tokens_per_minute=100, concurrent_requests=5)
    big = demand("big", rates, tokens=101, budgets=(share("a"), share("b")))
    poor = demand("poor", rates, budgets=(share("a"), share("b", cost=101)))
    assert [v.refused for v in pair.admit(big, poor)] == [Limit.TOKENS, Limit.BUDGET]
    assert list(pair.client.scan_iter("p:*")) == []


def test_a_call_that_is_sent_twice_holds_one_share(both) -> None:
    """The client's library sends again what a broken connection may have taken along."""
    pair = both()
    twice = demand("twice", RateLimitConfig(concurrent_requests=2), budgets=(share(limit=100, cost=10),))
    pair.admit(twice)
    pair._run(ADMIT, json.dumps([shared._asked(twice)]))
    assert pair.admit(replace(twice, id="next"))[0].spent == (20,)


def test_amounts_are_exact(both) -> None:
    """Ten times a cent is ten cents, and a nano-dollar more is not."""
    pair = both()
    million = 10**6 * 10**9
    for n in range(10):
        assert pair.admit(demand(f"i{n}", RATE, budgets=(share(limit=million, cost=million // 10),)))[0].refused is None
    assert pair.admit(demand("j", RATE, budgets=(share(limit=million, cost=1),)))[0].refused is Limit.BUDGET
