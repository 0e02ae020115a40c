"""/health: what the service depends on, looked at in the background; asking never waits for anything.

    {"status": "healthy|degraded|unhealthy",
     "checks": {"llm": {"status": "ok|error", "latency": 1.2, "message": "...", "refused": true},
                "database": {..., and what db/load.py tells of it}, ...},
     "backends": [{"name": "...", "status": "ok|error", ...}],  as http/backends.py says
     "models": [{"name": "...", "served": true, "backends": ["..."]}],
     "timestamp": "2026-01-31T12:00:00+00:00"}

Degraded: it still answers. Unhealthy: it cannot.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiapp_service.http import backends
from aiapp_service.llm.router import Router
from aiapp_service.stores.breaker import StoreDown, StoreRefused

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
DEADLINE_SECONDS = 2.0

Check = Callable[[], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True)
class CheckResult:
    """What one check found; `latency` in milliseconds."""

    ok: bool
    latency: float
    message: str = ""
    refused: bool = False  # it answers, and does not let us
    details: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As it stands in /health."""
        known = {"status": "ok" if self.ok else "error", "latency": round(self.latency, 1), **self.details}
        told = {**known, "message": self.message} if self.message else known
        return {**told, "refused": True} if self.refused else told


class Dependencies:
    """Databases and the like, each checked in the background with a deadline."""

    def __init__(self, checks: Mapping[str, Check], rng: random.Random) -> None:
        self._checks = checks
        self._rng = rng
        self.results: dict[str, CheckResult] = {}

    async def look(self) -> None:
        """Run all checks once, side by side."""
        async with asyncio.TaskGroup() as group:
            for name, check in self._checks.items():
                group.create_task(self._look(name, check))

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_SECONDS * self._rng.uniform(0.8, 1.2))

    async def _look(self, name: str, check: Check) -> None:
        started = time.perf_counter()
        message, refused = "", False
        details: Mapping[str, Any] = {}
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                details = await check() or {}
        except TimeoutError:
            message = f"no answer within {DEADLINE_SECONDS:g} s"
        except (StoreDown, StoreRefused) as error:
            message, refused = str(error), isinstance(error, StoreRefused)
        except Exception as error:  # noqa: BLE001  # whatever a driver raises means that the check failed
            # The text of a driver's error may hold its connection string.
            message = type(error).__name__
        before = self.results.get(name)
        latency = 1000 * (time.perf_counter() - started)
        self.results[name] = CheckResult(not message, latency, message, refused, details)
        if message and (before is None or before.ok):
            log.warning("dependency fails", extra={"dependency": name, "error": message})


def document(dependencies: Dependencies, router: Router | None, problems: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON of /health; without a router there are no models to answer for.

    `problems` are those of prompts and schemas: requests that need them are refused, all others answered.
    """
    checks = {name: result.document() for name, result in sorted(dependencies.results.items())}
    status = "healthy" if all(result.ok for result in dependencies.results.values()) else "degraded"
    found: dict[str, Any] = {"status": status, "checks": checks}
    if problems:
        found["status"] = "degraded"
        checks["content"] = {"status": "error", "latency": 0.0, "message": "; ".join(problems)}
    if router is not None:
        _add_models(found, router)
    return {**found, "timestamp": datetime.now(UTC).isoformat()}


def _add_models(found: dict[str, Any], router: Router) -> None:
    described, models = backends.described(router), backends.models(router)
    failing = [entry for entry in described if entry["status"] == "error"]
    found["checks"]["llm"] = {"status": "error" if failing else "ok", "latency": 0.0}
    if failing:
        found["checks"]["llm"]["message"] = "; ".join(f"{entry['name']} {entry['message']}" for entry in failing)
        found["status"] = "degraded" if any(model["served"] for model in models) else "unhealthy"
    found["backends"] = described
    found["models"] = models
