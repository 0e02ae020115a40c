"""What requests hold until they give it back, or until their time is over."""

import math


class Held:
    """Amounts by request. Times are milliseconds of any one clock."""

    def __init__(self) -> None:
        self.total = 0
        self._shares: dict[str, tuple[int, int]] = {}
        self._first_end: float = math.inf  # not later than the end of any share

    def __len__(self) -> int:
        return len(self._shares)

    def take(self, id_: str, amount: int, until: int) -> None:
        """Hold `amount`."""
        self.give_back(id_)
        self._shares[id_] = (amount, until)
        self.total += amount
        self._first_end = min(self._first_end, until)

    def give_back(self, id_: str) -> None:
        """It is free again, if it was not before."""
        amount, _ = self._shares.pop(id_, (0, 0))
        self.total -= amount

    def expire(self, now: int) -> None:
        """Free whatever has been held for too long."""
        if now < self._first_end:
            return
        for id_ in [id_ for id_, (_, until) in self._shares.items() if until <= now]:
            self.give_back(id_)
        self._first_end = min((until for _, until in self._shares.values()), default=math.inf)
