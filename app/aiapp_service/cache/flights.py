"""Identical requests at the same time: one is answered, the others wait for its answer.

Whoever leads may leave: then one of those who wait leads, and asks anew. What cannot be shared (an error, a tool
call) lets all of them go, each on its own.
"""

import asyncio
from enum import Enum

from aiapp_service.cache.stored import Stored


class _End(Enum):
    LEFT = 0
    NOT_TO_SHARE = 1


_Flight = asyncio.Future[Stored | _End]


class Lead:
    """The right to answer for all who wait, and the duty to tell them how it ended."""

    def __init__(self, under_way: dict[bytes, _Flight], key: bytes) -> None:
        self._under_way = under_way
        self._key = key
        self._flight: _Flight = asyncio.get_running_loop().create_future()
        self._handed_over = False
        under_way[key] = self._flight

    def share(self, stored: Stored) -> None:
        """This is the answer. Until `close` it is also that of those who come now."""
        if not self._flight.done():
            self._flight.set_result(stored)

    def hand_over(self) -> None:
        """Somebody else will end this: what has been answered is being looked at."""
        self._handed_over = True

    def leave(self) -> None:
        """Whoever led is gone."""
        if not self._handed_over:
            self._end(_End.LEFT)

    def close(self) -> None:
        """Nothing more will come."""
        self._end(_End.NOT_TO_SHARE)

    def _end(self, how: _End) -> None:
        if not self._flight.done():
            self._flight.set_result(how)
        if self._under_way.get(self._key) is self._flight:
            del self._under_way[self._key]


class Flights:
    """Those under way in this process."""

    def __init__(self) -> None:
        self._under_way: dict[bytes, _Flight] = {}

    async def join(self, key: bytes, seconds: float) -> Stored | Lead | None:
        """The answer of somebody else, within `seconds`, or the lead; None: go alone."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (flight := self._under_way.get(key)) is not None:
            try:
                async with asyncio.timeout_at(deadline):
                    found = await asyncio.shield(flight)
            except TimeoutError:
                return None
            if isinstance(found, Stored):
                return found
            if found is _End.NOT_TO_SHARE:
                return None
        return Lead(self._under_way, key)
