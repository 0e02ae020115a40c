"""What is known of a backend from what came of requests and probes: why it is down, and how long it rests.

A circuit breaker per backend. Some failures put it to rest at once, the others when there are several in a row or too
many of the last ones. When the rest is over one request tries it; the next rest is longer. A backend that rests is
asked after all others, by the router; here nothing is asked or waited for. All times are monotonic seconds.
"""

from collections import deque
from dataclasses import dataclass, replace

from aiapp_service.llm.failures import retry_seconds
from aiapp_service.llm.upstream import BackendError, Reason

# How long a backend rests the first time, and at most. A refusal does not pass by itself.
_RESTS = {
    Reason.CONNECT: (1.0, 30.0),
    Reason.RATE_LIMITED: (2.0, 60.0),
    Reason.OUT_OF_QUOTA: (60.0, 300.0),
    Reason.REFUSED_KEY: (60.0, 300.0),
    Reason.MODEL_MISSING: (60.0, 300.0),
}
_OTHER_REST = (5.0, 60.0)
# What a backend asks for in Retry-After is believed up to this.
MOST_RETRY_AFTER = 120.0
# Longer than the time from one probe to the next: while they fail no request has to find out.
_PROBED_REST = 25.0
_IN_A_ROW = 3
_LAST = 20
_LEAST_SEEN = 10
# Without requests, a failure that probes cannot see is forgotten after this.
_STALE = {Reason.OUT_OF_QUOTA: 600.0, Reason.REFUSED_KEY: 600.0, Reason.MODEL_MISSING: 600.0}
_OTHER_STALE = 60.0
_DISPROVED_SECONDS = 600.0
# How long a failure lasts before it is told: single ones come and go.
_TOLD_AFTER = {Reason.RATE_LIMITED: 30.0}
_OTHER_TOLD_AFTER = 5.0
# Who is more likely to answer though it rests.
_HOPE = (
    Reason.BROKEN,
    Reason.SERVER_ERROR,
    Reason.RATE_LIMITED,
    Reason.TIMEOUT,
    Reason.CONNECT,
    Reason.OUT_OF_QUOTA,
    Reason.MODEL_MISSING,
    Reason.REFUSED_KEY,
)


@dataclass(frozen=True)
class Down:
    """Why and since when a backend does not serve; `last` is the newest failure, `probed`: a probe has seen it too."""

    reason: Reason
    message: str
    since: float
    last: float
    probed: bool = False
    status: int | None = None


@dataclass(slots=True)
class Turn:
    """One request's turn with a backend; `trial`: the only one while the backend still counts as resting."""

    began: float
    trial: bool = False


class Standing:
    """Of one backend, or of one replica of it."""

    def __init__(self) -> None:
        self.down: Down | None = None
        self.resting_until: float | None = None  # None: the circuit is closed
        self._rested_at = float("-inf")
        self._rests = 0
        self._in_a_row = 0
        self._last: deque[bool] = deque(maxlen=_LAST)
        self._tried = False
        self._disproved: tuple[Reason, float] | None = None

    def rests(self, now: float) -> bool:
        """Whether others should be asked first."""
        return self.resting_until is not None and (now < self.resting_until or self._tried)

    def hope(self, now: float) -> tuple[int, float]:
        """Sorts those that rest: the least bad first."""
        reason = self.down.reason if self.down is not None else _HOPE[0]
        return _HOPE.index(reason), (self.resting_until or now) - now

    def told(self, now: float) -> Down | None:
        """Why it is down, where that is worth telling: single failures are not."""
        down = self.down
        if down is None:
            return None
        if self.resting_until is not None and down.reason not in _TOLD_AFTER:
            return down
        return down if now - down.since >= _TOLD_AFTER.get(down.reason, _OTHER_TOLD_AFTER) else None

    def begin(self, now: float) -> Turn:
        """A request is about to be sent; `over` has to follow."""
        trial = self.resting_until is not None and now >= self.resting_until and not self._tried
        self._tried = self._tried or trial
        return Turn(now, trial)

    def over(self, turn: Turn) -> None:
        """Whatever came of it."""
        if turn.trial:
            self._tried = False

    def answered(self, turn: Turn, now: float) -> None:
        """It served; what began before the newest failure does not prove that this one has passed."""
        self._last.append(True)
        self._in_a_row = 0
        if self.down is None or turn.began < self.down.last:
            return
        if self.down.probed:
            self._disproved = (self.down.reason, now)
        self._well()

    def failed(self, turn: Turn, error: BackendError, now: float) -> None:
        """It did not serve; how long that has been so counts from the first failure."""
        if error.reason in (Reason.CONTEXT_LENGTH, Reason.UNSUPPORTED):
            return
        self._disproved = None
        self._last.append(False)
        self._in_a_row += 1
        probed = self.down is not None and self.down.probed and self.down.reason is error.reason
        self._note(error, now, probed=probed)
        seconds = self._rest_after(error)
        # Of many requests that fail together only the first one counts, or a single outage would make a long rest.
        if seconds is None or (turn.began < self._rested_at and error.retry_after is None):
            return
        self._rests += 1
        self._rested_at = now
        self.resting_until = max(self.resting_until or 0.0, now + seconds)

    def reached(self, now: float) -> None:
        """A probe found it there: that ends what probes can see, or what nobody has met for a while."""
        down = self.down
        if down is None:
            return
        stale = now - down.last >= _STALE.get(down.reason, _OTHER_STALE) and now >= (self.resting_until or 0.0)
        if down.probed or down.reason is Reason.CONNECT or stale:
            self._well()

    def missed(self, error: BackendError, now: float) -> None:
        """A probe did not find it, or was refused."""
        if self._disproved is not None:
            reason, at = self._disproved
            if reason is error.reason and now - at < _DISPROVED_SECONDS:
                # Requests are served all the same: the probe asks for something that this one does not give.
                return
        self._note(error, now, probed=True)
        self._rested_at = now
        self.resting_until = max(self.resting_until or 0.0, now + _PROBED_REST)

    def _note(self, error: BackendError, now: float, *, probed: bool) -> None:
        if self.down is None:
            self.down = Down(error.reason, str(error), now, now, probed, error.status)
        else:
            self.down = replace(
                self.down,
                reason=error.reason,
                message=str(error),
                last=now,
                probed=probed,
                status=error.status,
            )

    def _rest_after(self, error: BackendError) -> float | None:
        """Seconds to rest now; None: go on."""
        asked = retry_seconds(error.retry_after)
        if asked is not None:
            return min(asked, MOST_RETRY_AFTER)
        least, most = _RESTS.get(error.reason, _OTHER_REST)
        # A 403 or a 404 may be about something in this one request.
        certain = error.reason in _RESTS and error.status not in (403, 404)
        at_once = certain or self.resting_until is not None
        if not at_once and self._in_a_row < _IN_A_ROW and not self._too_many():
            return None
        return min(most, float(least * 2 ** min(self._rests, 10)))

    def _too_many(self) -> bool:
        return len(self._last) >= _LEAST_SEEN and 2 * self._last.count(False) >= len(self._last)

    def _well(self) -> None:
        if self.resting_until is not None:
            self._last.clear()
        self.down = None
        self.resting_until = None
        self._rested_at = float("-inf")
        self._rests = 0
        self._in_a_row = 0
