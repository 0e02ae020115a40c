"""What goes wrong between the operator and the API server, drawn from a seed."""

import random
from dataclasses import dataclass
from enum import StrEnum

from tests.unit.operator.simulation.clock import seconds


class Fault(StrEnum):
    """What becomes of one request."""

    BROKEN = "broken"  # the connection breaks before the request arrives
    LOST_REPLY = "lost reply"  # it was carried out, but nobody says so
    THROTTLED = "429"
    CONFLICT = "409"
    INTERNAL = "500"
    OVERLOADED = "503"
    EXPIRED = "410"
    STALE = "stale"  # a list from a replica that lags behind


_READS = (Fault.BROKEN, Fault.LOST_REPLY, Fault.THROTTLED, Fault.INTERNAL, Fault.OVERLOADED)
_WRITES = (*_READS, Fault.CONFLICT)
_LISTS = (*_READS, Fault.EXPIRED, Fault.STALE)


@dataclass
class Faults:
    """How much goes wrong: shares of requests and watches, until `until` on the loop's clock."""

    rng: random.Random
    requests: float = 0.0
    watches: float = 0.0
    lag: float = 0.0  # seconds by which watches are late, at most
    until: float = 0.0

    @property
    def active(self) -> bool:
        return seconds() < self.until

    def of_request(self, method: str, *, collection: bool) -> Fault | None:
        """The fault of one request, if it has one."""
        if not self.active or self.rng.random() >= self.requests:
            return None
        if method == "GET":
            return self.rng.choice(_LISTS if collection else _READS)
        return self.rng.choice(_WRITES)

    def seconds_late(self) -> float:
        """By how much a watch is late at most, now."""
        return self.lag if self.active else 0.0

    def watch_seconds(self) -> float:
        """After how long a watch breaks; more than a watch lasts: it does not."""
        if not self.active or self.rng.random() >= self.watches:
            return 3600.0
        return self.rng.uniform(0.0, 20.0)
