"""The metric of what is left: of whoever has least, in this period, across configurations."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from prometheus_client import generate_latest

from aiapp_service.config import BudgetConfig
from aiapp_service.limits.budget_reports import BudgetReports
from aiapp_service.limits.demand import NANO, BudgetDemand
from aiapp_service.telemetry.metrics import Metrics


def share(name: str, tenant: str, ends: datetime) -> BudgetDemand:
    budget = BudgetConfig(name=name, limit_usd=Decimal(10))
    return BudgetDemand(budget, f"{name}:{tenant}", 10 * NANO, 0, True, ends)


def shown(metrics: Metrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    found = [line.split(" ") for line in lines if line.startswith("ai_budget_remaining_usd{")]
    return {name.split('"')[1]: float(value) for name, value in found}


SOON = datetime.now(UTC) + timedelta(days=1)


def test_whoever_has_least_is_shown():
    metrics = Metrics()
    reports = BudgetReports(metrics, ["b"])
    for tenant, spent, left in (("x", 3, 7), ("y", 5, 5), ("x", 4, 5), ("y", 2, 8), ("x", 12, 0)):
        reports.left(share("b", tenant, SOON), spent * NANO)
        assert shown(metrics) == {"b": left}


def test_a_new_period_leaves_all_of_it(monkeypatch: pytest.MonkeyPatch):
    metrics = Metrics()
    BudgetReports(metrics, ["b"]).left(share("b", "x", SOON), 9 * NANO)
    later = time.time() + 2 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert shown(metrics) == {"b": 10}


def test_a_new_configuration_shows_its_own_budgets():
    metrics = Metrics()
    old = BudgetReports(metrics, ["kept", "gone"])
    for name in ("kept", "gone"):
        old.left(share(name, "x", SOON), NANO)
    new = BudgetReports(metrics, ["kept"])
    assert shown(metrics) == {"kept": 9}
    new.left(share("kept", "x", SOON), 2 * NANO)
    assert shown(metrics) == {"kept": 8}
