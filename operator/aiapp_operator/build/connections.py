"""Pods and the connections of their database: autoscalers get no room in which pods would find none.

Each process of the service keeps a pool and one connection for its health. While a revision is rolled out there are up
to a quarter more pods. What an AIApp may grow to has to fit; where it does not, autoscalers are bounded, the one with
most pods first, and where even the least does not fit the AIApp is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.names import ComponentName, component_label
from aiapp_operator.build import cloudnativepg, postgres
from aiapp_operator.build.resources import memory_limit
from aiapp_operator.errors import Stalled
from aiapp_service.config import DatabaseConfig

# Kept free: PostgreSQL keeps three for its superuser; then migrations, a backup, a drill, probes, people.
RESERVE = 10
_HEALTH = 1
_SURGE = 0.25

Part = tuple[ComponentName, str]


@dataclass(frozen=True)
class Bounds:
    """maxReplicas of autoscalers that are lower than asked for, and why, in words for people."""

    most: Mapping[Part, int] = field(default_factory=dict)
    words: str = ""


def bounds(app: AIApp) -> Bounds:
    """How far autoscalers may go.

    Raises:
        Stalled: not even the least number of pods fits; reason InvalidSpec, the message names numbers and fields.
    """
    total = _connections(app)
    if total is None:
        return Bounds()
    each, room = _pool(app) + _HEALTH, total - RESERVE
    least, most = _least(app), _most(app)
    if _pods(least) * each > room:
        raise Stalled(
            "InvalidSpec",
            f"{_needs(least, each)}, but the database has {total}, of which {RESERVE} are kept free: {_remedy(app)}",
        )
    found = dict(most)
    while _pods(found) * each > room:
        widest = max((part for part in found if found[part] > least[part]), key=lambda part: found[part])
        found[widest] -= 1
    capped = {part: count for part, count in found.items() if count < most[part]}
    if not capped:
        return Bounds()
    has = f"but the database has {total}, of which {RESERVE} are kept free"
    return Bounds(capped, f"{_needs(most, each)}, {has}: {_remedy(app)}")


def _needs(pods: Mapping[Part, int], each: int) -> str:
    listed = ", ".join(f"{component_label(part[0].value, part[1])} {count}" for part, count in pods.items())
    return f"{listed}: {_pods(pods)} pods while they are rolled out need {_pods(pods) * each} connections, {each} each"


def _remedy(app: AIApp) -> str:
    spec = app.spec.postgres
    if spec.external is not None:
        return "lower replicas or autoscaling.maxReplicas, lower postgres.external.poolMax, or raise maxConnections"
    name = "managed" if spec.managed is not None else "cloudNativePG"
    return f"lower replicas or autoscaling.maxReplicas, or raise postgres.{name}.resources.limits.memory"


def _pods(pods: Mapping[Part, int]) -> int:
    return sum(count + ceil(count * _SURGE) for count in pods.values())


def _least(app: AIApp) -> dict[Part, int]:
    scaled = app.spec.api.autoscaling
    api = scaled.min_replicas if scaled is not None else app.spec.api.replicas
    workers = {w.name: w.autoscaling.min_replicas if w.autoscaling is not None else 1 for w in app.spec.workers}
    return _parts(api, workers)


def _most(app: AIApp) -> dict[Part, int]:
    scaled = app.spec.api.autoscaling
    api = scaled.max_replicas if scaled is not None else app.spec.api.replicas
    workers = {w.name: w.autoscaling.max_replicas if w.autoscaling is not None else 1 for w in app.spec.workers}
    return _parts(api, workers)


def _parts(api: int, workers: Mapping[str, int]) -> dict[Part, int]:
    return {(ComponentName.API, ""): api, **{(ComponentName.WORKER, name): n for name, n in workers.items()}}


def _connections(app: AIApp) -> int | None:
    """max_connections of the database; None where that is not known."""
    spec = app.spec.postgres
    if spec.managed is not None:
        return postgres.max_connections(memory_limit(postgres.compute(spec.managed)))
    if spec.cloud_native_pg is not None:
        return postgres.max_connections(memory_limit(cloudnativepg.compute(spec.cloud_native_pg)))
    return spec.external.max_connections if spec.external is not None else None


def _pool(app: AIApp) -> int:
    external = app.spec.postgres.external
    return external.pool_max if external is not None else int(DatabaseConfig.model_fields["pool_max"].default)
