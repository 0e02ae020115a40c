"""One line of a batch: tried until there is an answer to keep, or none can be had.

Too many requests or a backend that fails: again, later. Beyond a limit of the key: again as soon as it has room, and
however often that is. Out of budget: the whole batch waits.
"""

import asyncio
import json
import random
from collections.abc import Callable

from aiapp_service.batches.asking import Asker
from aiapp_service.batches.results import Result, answered, not_answered
from aiapp_service.batches.validation import Line
from aiapp_service.gateway import Running
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.failures import retry_seconds
from aiapp_service.stores.breaker import StoreDown

MOST_TRIES = 6
BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MOST_SECONDS = 60.0
# What a backend says of its own; a day of waiting is none of a line's business.
_MOST_RETRY_AFTER = 300.0
# Set where a limit of the app's own refuses.
_OWN_WAIT = "retry-after-ms"
# What is down on our side says nothing of a line, however long it is down.
_OURS = frozenset({"limits_unavailable", "store_unavailable"})


class OutOfBudget(Exception):
    """A budget has no room for a line; the message says which, and until when."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(str(error))
        self.code = error.code


class Trying:
    """Tries the lines of one batch. Waiting ends at once when `stop` is set."""

    def __init__(
        self, batch: str, asker: Asker, running: Callable[[], Running], rng: random.Random, stop: asyncio.Event
    ) -> None:
        self._batch = batch
        self._asker = asker
        self._running = running
        self._rng = rng
        self._stop = stop

    async def result(self, line: Line) -> Result | None:
        """What came of it; None where it was stopped before anything did.

        Raises:
            OutOfBudget: it was not asked.
        """
        tries = counted = 0
        while not self._stop.is_set():
            try:
                return await self._once(line)
            except (ApiError, StoreDown) as problem:
                error = problem if isinstance(problem, ApiError) else _not_now(problem)
                if error.code == "insufficient_quota":
                    raise OutOfBudget(error) from problem
                own_wait = error.headers.get(_OWN_WAIT)
                tries += 1
                counted += own_wait is None and error.code not in _OURS
                if not _passes(error) or counted >= MOST_TRIES:
                    return self._refused(line, error)
                wait = int(own_wait) / 1000 if own_wait else 0.0
                await self._sleep(wait or self._backoff(tries, error))
        return None

    def request_id(self, line: Line) -> str:
        """Its name in logs, traces and the ledger."""
        return f"{self._batch}_{line.number}"

    def failed(self, line: Line) -> Result:
        """The result of a line that the service itself failed at."""
        return self._refused(line, ApiError(500, "the service failed; its log says why", type_="server_error"))

    def given_up(self, line: Line, code: str, message: str) -> Result:
        """The result of a line that is not asked, or not to its end."""
        return Result(line.number, False, not_answered(self._batch, line.number, line.custom_id, code, message))

    async def _once(self, line: Line) -> Result:
        answer = await self._asker.ask(self._running(), line.body, self.request_id(line))
        text = answered(self._batch, line.number, line.custom_id, answer.status, answer.request_id, answer.body)
        row = answer.row
        if row is not None:
            # Whoever asks a line again, its process having been killed, does not bill it again.
            row = row.model_copy(update={"request_id": f"{self._batch}:{line.number}", "batch": self._batch})
        return Result(line.number, answer.status == 200, text, row)

    def _refused(self, line: Line, error: ApiError) -> Result:
        body = json.dumps(error.document()).encode()
        name = self.request_id(line)
        text = answered(self._batch, line.number, line.custom_id, error.status, name, body)
        return Result(line.number, False, text)

    def _backoff(self, tries: int, error: ApiError) -> float:
        """Seconds: exponential with full jitter, and not sooner than the backend wants."""
        most = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0**tries)
        wanted = retry_seconds(error.headers.get("Retry-After")) or 0.0
        return min(wanted, _MOST_RETRY_AFTER) + self._rng.uniform(0.0, most)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return


def _passes(error: ApiError) -> bool:
    if error.headers.get("x-should-retry") == "false":
        return False
    return error.status == 429 or error.status >= 500


def _not_now(error: StoreDown) -> ApiError:
    return ApiError(503, f"a store does not answer: {error}", type_="server_error", code="store_unavailable")
