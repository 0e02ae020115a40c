"""How busy and how quick a backend is, as seen by this process."""

# A new measurement counts this much; one of long ago fades, so that who was slow is given another chance.
_NEW = 0.3
HALF_LIFE_SECONDS = 30.0


class Average:
    """An exponentially weighted mean of seconds that fades while nothing is measured."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._at = 0.0

    def add(self, seconds: float, now: float) -> None:
        """Take in a measurement."""
        self._mean = seconds if self._mean is None else self._mean + _NEW * (seconds - self._mean)
        self._at = now

    def at(self, now: float) -> float | None:
        """What is expected now; None before the first measurement."""
        return None if self._mean is None else self._mean * 0.5 ** ((now - self._at) / HALF_LIFE_SECONDS)


class Load:
    """Requests under way, and how long answers took: to the first token of streams, to the end of whole ones.

    As a context it counts one more request while it lasts.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._streams = Average()
        self._wholes = Average()

    def __enter__(self) -> None:
        self.in_flight += 1

    def __exit__(self, *_error: object) -> None:
        self.in_flight -= 1

    def took(self, seconds: float, now: float, *, streamed: bool) -> None:
        """An answer came."""
        (self._streams if streamed else self._wholes).add(seconds, now)

    def expected(self, now: float, *, streamed: bool) -> float | None:
        """Seconds that an answer takes without a queue; None where none was seen."""
        return (self._streams if streamed else self._wholes).at(now)
