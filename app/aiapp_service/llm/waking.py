"""A model server that may have no pods: requests are what brings one, and wait until it answers.

Requests that are under way or wait are a series of `ai_inference_requests`, which an autoscaler looks at. So waiting
here is what wakes the server. Who waits too long, or finds too many waiting already, is told to come again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiapp_service.llm.upstream import BackendError, Reason, Upstream
from aiapp_service.telemetry.metrics import Metrics

# Of each process. Each of them holds a request in memory.
MOST_WAITING = 200
_LOOK_SECONDS = 0.5
_RETRY_AFTER = "10"

T = TypeVar("T")


class Waking:
    """The server of one entry of `inference`; `seconds` is how long a request waits for it."""

    def __init__(self, name: str, upstream: Upstream, seconds: float, metrics: Metrics) -> None:
        self._upstream = upstream
        self._seconds = seconds
        self._gauge = metrics.inference_requests.labels(name)
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None  # one for all that wait

    def begin(self) -> None:
        """A request is under way; `end` has to follow."""
        self._gauge.inc()

    def end(self) -> None:
        """It is over."""
        self._gauge.dec()

    async def ask(self, attempt: Callable[[], Awaitable[T]], until: float) -> T:
        """What `attempt` gives, again and again while nobody is there; not beyond `until`, in the loop's time.

        Raises:
            BackendError: the server did not come in time, too many wait for it, or it failed otherwise.
        """
        began = asyncio.get_running_loop().time()
        until = min(until, began + self._seconds)
        while True:
            try:
                return await attempt()
            except BackendError as error:
                # Nothing was sent to anybody, so it may be sent again.
                if error.reason is not Reason.CONNECT:
                    raise
            await self._there(until)

    async def _there(self, until: float) -> None:
        """Wait until it can be reached."""
        if self._waiting >= MOST_WAITING:
            raise BackendError(Reason.CONNECT, "is being started, and too many wait for it", _RETRY_AFTER)
        self._waiting += 1
        self.begin()
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            async with asyncio.timeout_at(until):
                await asyncio.shield(self._looking)
        except TimeoutError:
            raise BackendError(Reason.CONNECT, "is being started, which takes its time", _RETRY_AFTER) from None
        finally:
            self._waiting -= 1
            self.end()
            if not self._waiting and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        while True:
            if await self._reached():
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _reached(self) -> bool:
        try:
            await self._upstream.probe()
        except BackendError as error:
            # While it loads its model it answers with failures of the server.
            return error.reason not in {Reason.CONNECT, Reason.SERVER_ERROR}
        return True
