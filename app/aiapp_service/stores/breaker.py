"""A store that does not answer is left alone for a while, so that no request waits for it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from aiapp_service.stores.deadline import within

T = TypeVar("T")

REST_SECONDS = 1.0


class StoreDown(Exception):
    """The store did not answer in time, or is left alone because it did not a moment ago. Holds nothing secret.

    `sent`: it may have done what it was asked for.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class StoreRefused(Exception):
    """The store answers, and does not let us: somebody has to change something. Holds nothing secret."""


class Breaker:
    """Guards calls to one store. After a failure everybody is refused at once, but for one try a second."""

    def __init__(self, name: str, deadline: float, failures: tuple[type[Exception], ...]) -> None:
        self.name = name
        self._deadline = deadline
        self._failures: tuple[type[Exception], ...] = (TimeoutError, OSError, *failures)
        self._closed_again_at = 0.0
        self._down = False

    @property
    def down(self) -> bool:
        """Whether the last call failed."""
        return self._down

    def require(self) -> None:
        """Raise StoreDown while the store is left alone; call it before making an awaitable for `run`."""
        if self._down:
            now = asyncio.get_running_loop().time()
            if now < self._closed_again_at:
                raise StoreDown(f"{self.name} does not answer")
            # This one tries; the others go on without.
            self._closed_again_at = now + REST_SECONDS

    async def run(self, call: Awaitable[T], deadline: float | None = None) -> T:
        """The result of `call`, within the deadline (seconds; None: the store's own).

        Raises:
            StoreDown: it failed in a way that says that the store is not well.
        """
        return await self.heed(within(self._deadline if deadline is None else deadline, call))

    async def heed(self, call: Awaitable[T], *, sent: bool = False) -> T:
        """The result of `call`, which keeps a deadline itself; `sent` is what StoreDown says then.

        Raises:
            StoreDown: it failed in a way that says that the store is not well.
        """
        try:
            result = await call
        except self._failures as error:
            self._down = True
            self._closed_again_at = asyncio.get_running_loop().time() + REST_SECONDS
            raise StoreDown(f"{self.name} does not answer: {type(error).__name__}", sent=sent) from error
        self._down = False
        return result
