"""What /health says of backends and models: what the router knows of them, without asking anybody.

    {"name": "openai/gpt-4o-mini", "status": "error", "reason": "refused_key", "code": 401,
     "message": "refuses the API key (401)", "since": "2026-01-31T12:00:00+00:00",
     "restingUntil": "2026-01-31T12:01:00+00:00"}

A backend that is asked too often for a moment, or failed once, is not told: that is what fallbacks are for.
"""

import time
from datetime import UTC, datetime
from typing import Any

from aiapp_service.llm.backend import Backend
from aiapp_service.llm.router import Router
from aiapp_service.llm.upstream import Reason

# Added to monotonic seconds; taken once, so that the same moment always reads the same.
_EPOCH = time.time() - time.monotonic()


def described(router: Router) -> list[dict[str, Any]]:
    """All backends, by name."""
    now = time.monotonic()
    return [_described(backend, now) for backend in router.backends]


def models(router: Router) -> list[dict[str, Any]]:
    """All models, by name, and whether a backend serves them."""
    now = time.monotonic()
    return [
        {
            "name": name,
            "served": any(_serves(backend, now) for backend in route.backends),
            "backends": [backend.name for backend in route.backends],
        }
        for name, route in sorted(router.routes.items())
    ]


def _serves(backend: Backend, now: float) -> bool:
    """Also one that limits its requests serves some of them."""
    down = backend.known.standing.told(now)
    return down is None or down.reason is Reason.RATE_LIMITED


def _described(backend: Backend, now: float) -> dict[str, Any]:
    standing = backend.known.standing
    down = standing.told(now)
    if down is None:
        return {"name": backend.name, "status": "ok"}
    found: dict[str, Any] = {
        "name": backend.name,
        "status": "error",
        "reason": down.reason.value,
        "message": down.message,
        "since": _time(down.since),
    }
    if down.status is not None:
        found["code"] = down.status
    if standing.resting_until is not None and standing.resting_until > now:
        found["restingUntil"] = _time(standing.resting_until)
    return found


def _time(monotonic: float) -> str:
    return datetime.fromtimestamp(_EPOCH + monotonic, UTC).isoformat(timespec="seconds")
