"""What a request is taken to need, and whose limits it counts against."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from aiapp_service.config import (
    AuthConfig,
    BudgetConfig,
    BudgetScope,
    LimitScope,
    ModelKind,
    PriceConfig,
    RateLimitConfig,
    ServiceConfig,
    TimeoutsConfig,
)
from aiapp_service.limits.demand import Demand
from aiapp_service.limits.demands import MARGIN_SECONDS, Demands
from aiapp_service.limits.estimate import DEFAULT_OUTPUT_TOKENS, dearest, estimated
from aiapp_service.limits.local import LocalLimits
from aiapp_service.limits.stage import limits
from aiapp_service.llm.backend import Backend
from aiapp_service.llm.mock import MockUpstream
from aiapp_service.llm.route import Route
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange
from aiapp_service.pipeline.principal import Principal
from aiapp_service.telemetry.metrics import Metrics

ASKED = 3  # "12345678" and the one that is always added
BODY = {"messages": [{"role": "user", "content": "12345678"}]}


def price(input_: str, output: str) -> PriceConfig:
    return PriceConfig(input_per_1m=Decimal(input_), output_per_1m=Decimal(output))


def route(*prices: PriceConfig | None) -> Route:
    metrics = Metrics()
    backends = [Backend(f"b{n}", MockUpstream(), "m", one, metrics) for n, one in enumerate(prices)]
    return Route("chat", ModelKind.CHAT, backends, TimeoutsConfig(total=10))


@pytest.mark.parametrize(
    ("fields", "most", "output"),
    [
        ({"max_tokens": 50}, None, 50),
        ({"max_completion_tokens": 60, "max_tokens": 50}, None, 60),
        ({"max_tokens": 50, "n": 3}, 100, 150),
        ({}, None, DEFAULT_OUTPUT_TOKENS),
        ({}, 100, 100 - ASKED),
        ({}, 2, 0),
        ({"n": 2}, None, 2 * DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": None}, None, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": True}, None, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": -5, "n": "many"}, None, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": 10**400}, None, 10_000_000),
    ],
)
def test_estimate(fields: dict[str, Any], most: int | None, output: int):
    assert estimated(Endpoint.CHAT, {**BODY, **fields}, most) == Usage(input=ASKED, output=output)


def test_embeddings_have_no_output():
    assert estimated(Endpoint.EMBEDDINGS, {"input": "12345678", "max_tokens": 5}, None) == Usage(input=ASKED)


@pytest.mark.parametrize(
    ("prices", "cost"),
    [
        ([], 0),
        ([None], 0),
        ([price("1", "2")], 50_000),
        ([None, price("1", "2"), price("2", "0"), price("0", "2.5")], 50_000),
        ([price("0.0375", "0")], 375),
    ],
)
def test_the_dearest_backend_counts(prices, cost):
    assert dearest(Usage(input=10, output=20), route(*prices)) == cost


ALICE = Principal(key="alice", tenant="acme", address="192.0.2.1")
NAMELESS = Principal(address="192.0.2.1")
RATES = RateLimitConfig(requests_per_minute=10)


def demand(principal: Principal, config: ServiceConfig) -> Demand | None:
    call = Call("id", principal=principal)
    return Demands(config).of(Exchange(call, route(price("1", "2")), Endpoint.CHAT, dict(BODY)))


@pytest.mark.parametrize(
    ("principal", "per", "subject"),
    [
        (ALICE, LimitScope.KEY, "key alice"),
        (ALICE, LimitScope.TENANT, "tenant acme"),
        (ALICE, LimitScope.IP, "address 192.0.2.1"),
        (NAMELESS, LimitScope.KEY, "address 192.0.2.1"),
        (NAMELESS, LimitScope.TENANT, "address 192.0.2.1"),
        (replace(ALICE, address="2001:db8:1:2:3:4:5:6"), LimitScope.IP, "address 2001:db8:1:2::/64"),
        (replace(ALICE, address="::ffff:192.0.2.1"), LimitScope.IP, "address 192.0.2.1"),
        (replace(ALICE, address="fe80::1%eth0"), LimitScope.IP, "address fe80::/64"),
        (replace(ALICE, address="a:strange:one"), LimitScope.IP, "address a:strange:one"),
    ],
)
def test_who_shares_a_rate(principal, per, subject):
    found = demand(principal, ServiceConfig(rate_limit=RATES.model_copy(update={"per": per})))
    assert found is not None
    assert found.subject == subject
    assert found.hold == 1000 * (10 + MARGIN_SECONDS)


@pytest.mark.parametrize(
    ("principal", "per", "whose"),
    [
        (ALICE, BudgetScope.APP, "App:"),
        (ALICE, BudgetScope.TENANT, "Tenant:acme"),
        (ALICE, BudgetScope.KEY, "Key:alice"),
        (NAMELESS, BudgetScope.TENANT, "Tenant:anonymous"),
        (NAMELESS, BudgetScope.KEY, "Key:anonymous"),
    ],
)
def test_whose_account_it_is(principal, per, whose):
    found = demand(principal, ServiceConfig(budgets=(BudgetConfig(name="b", per=per, limit_usd=Decimal(1)),)))
    assert found is not None
    assert found.budgets[0].account.startswith("b:20")
    assert found.budgets[0].account.endswith(f":{whose}")


def test_names_of_any_length_become_short_keys():
    found = demand(
        replace(ALICE, tenant="t" * 5000), ServiceConfig(rate_limit=RATES.model_copy(update={"per": "Tenant"}))
    )
    assert found is not None
    assert len(found.subject) < 100


def test_a_keys_own_limits_come_first():
    own = RateLimitConfig(concurrent_requests=1)
    found = demand(replace(ALICE, rate_limit=own), ServiceConfig(rate_limit=RATES))
    assert found is not None
    assert found.rates == own


def test_what_is_not_limited_asks_for_nothing():
    assert demand(ALICE, ServiceConfig()) is None


@pytest.mark.parametrize(
    ("config", "there"),
    [
        (ServiceConfig(), False),
        (ServiceConfig(auth=AuthConfig(anonymous=True)), False),
        (ServiceConfig(rate_limit=RATES), True),
        (ServiceConfig(budgets=(BudgetConfig(name="b", limit_usd=Decimal(1)),)), True),
        (ServiceConfig(auth=AuthConfig(api_keys_dir="/keys")), True),
    ],
)
def test_the_stage_is_there_when_something_may_be_limited(config, there):
    assert (limits(config, None, LocalLimits(), Metrics()) is not None) == there
