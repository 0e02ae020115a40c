"""How much of the database is taken, as the API tells it on /health.

Numbers that nobody has to be told of are left out or rounded: equal situations have to give equal facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Below these nothing is said: conditions begin, and end, above them.
_CONNECTIONS_PERCENT = 70
_DISK_PERCENT = 70
# Of what a database needs on its disk only whole ones of these are counted.
_STEP = 64 * 1024**2


@dataclass(frozen=True)
class DatabaseLoad:
    """Zeros are what is not known, or not worth telling."""

    used: int = 0  # connections
    most: int = 0  # that the server takes
    reserved: int = 0  # of them, for superusers
    taken: bool = False  # a new connection was refused
    disk_percent: int = 0
    disk_size: int = 0  # bytes
    needed: int = 0  # bytes that the database with its log may take, an estimate

    @property
    def connections_percent(self) -> int:
        """Of those that an application may have."""
        if self.taken:
            return 100
        usable = self.most - self.reserved
        return 100 * self.used // usable if usable > 0 else 0

    @classmethod
    def from_check(cls, check: Any) -> "DatabaseLoad":
        """Out of `checks.database` of /health; whatever is odd there is not known."""
        if not isinstance(check, dict):
            return cls()
        connections, disk = _mapping(check, "connections"), _mapping(check, "disk")
        found = cls(
            used=_number(connections, "used"),
            most=_number(connections, "max"),
            reserved=_number(connections, "reserved"),
            taken=check.get("status") == "error" and check.get("refused") is True,
        )
        crowded = found.connections_percent >= _CONNECTIONS_PERCENT
        percent = min(_number(disk, "percent"), 100)
        low = percent < _DISK_PERCENT
        return cls(
            *((found.used, found.most, found.reserved) if crowded else (0, 0, 0)),
            taken=found.taken,
            disk_percent=0 if low else percent,
            disk_size=0 if low else _number(disk, "size"),
            needed=_number(check, "size") // _STEP * _STEP,
        )


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _number(document: Mapping[str, Any], name: str) -> int:
    found = document.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 63 else 0
