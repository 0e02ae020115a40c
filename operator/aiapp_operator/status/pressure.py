"""A database that is short of disk or of connections: told before it fails, and when it does.

What is short and serves on leaves PostgresReady true: the reason says it, and an Event. PostgresReady is false when
writes or new connections are refused; that alone does not keep the AIApp from being Ready, since requests are answered.
What was told holds until it is clearly over, and while the API cannot be asked.
"""

import re
from collections.abc import Iterator

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.database_load import DatabaseLoad
from aiapp_operator.api.facts import Claim, Facts
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.quantity import binary, parse
from aiapp_operator.api.status import ConditionStatus
from aiapp_operator.status.fields import items, text

DISK_FULL = "DiskFull"
DISK_NEARLY_FULL = "DiskNearlyFull"
CONNECTIONS_EXHAUSTED = "ConnectionsExhausted"
CONNECTIONS_NEARLY_EXHAUSTED = "ConnectionsNearlyExhausted"
REASONS = frozenset({DISK_FULL, DISK_NEARLY_FULL, CONNECTIONS_EXHAUSTED, CONNECTIONS_NEARLY_EXHAUSTED})
REFUSED = frozenset({DISK_FULL, CONNECTIONS_EXHAUSTED})
NO_SPACE = "No space left on device"

_DISK_FULL_PERCENT = 99
# Percents from which something is told, and below which it is over.
_DISK = (85, 80)
_CONNECTIONS = (90, 80)
_TOLD = re.compile(r"(disk (about )?\d+ % full|\d+ of \d+ connections in use|all connections in use).*$")
_NUMBERS = re.compile(r"\b\d+(?= %| of \d+ connections)")


def told(facts: Facts, app: AIApp, previous: Manifest | None) -> tuple[str, str] | None:
    """Reason and words about what the database is short of; None where there is nothing to say."""
    before = next((c for c in items(previous, "conditions") if c.get("type") == ConditionType.POSTGRES_READY), {})
    reason = text(before, "reason")
    match = _TOLD.search(text(before, "message"))
    said = match.group() if match is not None else ""
    load = None if facts.backends is None else facts.backends.database
    if load is None:
        return (reason, said) if said and reason in REASONS else None
    found = [*_disk(load, app, facts, reason), *_connections(load, app, reason)]
    if not found:
        return None
    # What is refused goes before what is short.
    found.sort(key=lambda entry: entry[0] not in REFUSED)
    words = "; ".join(entry[1] for entry in found)
    return found[0][0], said if reason == found[0][0] and _alike(said, words) else words


def status_of(reason: str) -> ConditionStatus:
    """Of PostgresReady."""
    return ConditionStatus.FALSE if reason in REFUSED else ConditionStatus.TRUE


def remedy(app: AIApp) -> str:
    """Where the size of the disk is set."""
    return f"raise postgres.{_kind(app)}.storage.size"


def _disk(load: DatabaseLoad, app: AIApp, facts: Facts, before: str) -> Iterator[tuple[str, str]]:
    if app.spec.postgres.external is not None:
        return
    claim = facts.claims.get(names.part(app.name, ComponentName.POSTGRES))
    percent, about = load.disk_percent, ""
    if app.spec.postgres.cloud_native_pg is not None:
        # Nobody who could be asked sees its disk.
        size = int(parse(app.spec.postgres.cloud_native_pg.storage.size))
        percent, about = min(100 * load.needed // size, 100), "about "
    if percent < _limit(_DISK, told=before in {DISK_FULL, DISK_NEARLY_FULL}):
        return
    full = percent >= _DISK_FULL_PERCENT and not about
    reason = DISK_FULL if full else DISK_NEARLY_FULL
    yield reason, f"disk {about}{percent} % full of {_size(load, claim, app)}: {_disk_remedy(load, claim, app)}"


def _size(load: DatabaseLoad, claim: Claim | None, app: AIApp) -> str:
    """As the claim has it: a file system is a little smaller than its disk."""
    if app.spec.postgres.cloud_native_pg is not None:
        return app.spec.postgres.cloud_native_pg.storage.size
    capacity = (claim.capacity or claim.requested) if claim is not None else ""
    if capacity and not _shared(load, claim):
        return capacity
    return binary(load.disk_size >> 20 << 20)


def _shared(load: DatabaseLoad, claim: Claim | None) -> bool:
    """Whether the disk is much larger than the claim: it is that of a node, or of other volumes too."""
    capacity = (claim.capacity or claim.requested) if claim is not None else ""
    return bool(capacity) and load.disk_size > parse(capacity) * 5 / 4


def _disk_remedy(load: DatabaseLoad, claim: Claim | None, app: AIApp) -> str:
    if _shared(load, claim):
        return "the volume has no disk of its own, so make room on the one it is on"
    return remedy(app)


def _connections(load: DatabaseLoad, app: AIApp, before: str) -> Iterator[tuple[str, str]]:
    percent = load.connections_percent
    was = before in {CONNECTIONS_EXHAUSTED, CONNECTIONS_NEARLY_EXHAUSTED}
    if percent < _limit(_CONNECTIONS, told=was):
        return
    exhausted = percent >= _limit((100, 90), told=before == CONNECTIONS_EXHAUSTED)
    reason = CONNECTIONS_EXHAUSTED if exhausted else CONNECTIONS_NEARLY_EXHAUSTED
    reserved = f", {load.reserved} are for superusers" if load.reserved else ""
    count = f"{load.used} of {load.most} connections in use{reserved}" if load.most else "all connections in use"
    yield reason, f"{count}: {_connections_remedy(app)}"


def _connections_remedy(app: AIApp) -> str:
    if app.spec.postgres.external is not None:
        return "lower postgres.external.poolMax, or raise max_connections of the server"
    memory = f"raise postgres.{_kind(app)}.resources.limits.memory, which max_connections goes by"
    return f"close those of other clients, or {memory}"


def _limit(limits: tuple[int, int], *, told: bool) -> int:
    return limits[1] if told else limits[0]


def _alike(before: str, now: str) -> bool:
    """Whether nothing but connections that come and go is different, or a percent of the disk."""
    if _NUMBERS.sub("", before) != _NUMBERS.sub("", now):
        return False
    pairs = zip(_percents(before), _percents(now), strict=True)
    return all(abs(one - other) <= 1 for one, other in pairs)


def _percents(words: str) -> list[int]:
    return [int(found) for found in re.findall(r"\b(\d+) %", words)]


def _kind(app: AIApp) -> str:
    return "cloudNativePG" if app.spec.postgres.cloud_native_pg is not None else "managed"
