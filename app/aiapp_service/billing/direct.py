"""Rows go straight to PostgreSQL where there is no Redis: in the background, and kept in memory while it is down."""

import asyncio
import logging
from collections import deque

from aiapp_service.billing.cancellation import heed_cancellation
from aiapp_service.billing.row import UsageRow
from aiapp_service.billing.writer import write
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 5.0
BATCH = 500
# About 50 MB.
MOST = 50_000
_SAY_EACH = 1000


class DirectSink:
    """One for a process. Writes nothing before `start`."""

    def __init__(self, database: Database, most: int = MOST) -> None:
        self._database = database
        self._most = most
        self._waiting: deque[UsageRow] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._dropped = 0
        self._told = False

    def put(self, row: UsageRow) -> None:
        """Write it soon; beyond `most` rows that wait, the oldest is dropped."""
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self._dropped += 1
            if self._dropped % _SAY_EACH == 1:
                log.error("rows of the ledger dropped: too many wait for PostgreSQL", extra={"dropped": self._dropped})
        self._waiting.append(row)
        self._wake.set()

    def start(self) -> None:
        """Begin to write, in the background."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Write what is left, for at most five seconds."""
        self._closing = True
        self._wake.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=CLOSE_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._waiting:
            log.error("rows of the ledger lost", extra={"rows": len(self._waiting)})

    async def _run(self) -> None:
        while await self._has_something():
            heed_cancellation()
            try:
                await self._write()
            except StoreDown as error:
                self._tell(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._told = False

    async def _has_something(self) -> bool:
        """Wait for rows; False: there come no more."""
        while not self._waiting and not self._closing:
            self._wake.clear()
            await self._wake.wait()
        if len(self._waiting) < BATCH and not self._closing:
            await asyncio.sleep(GATHER_SECONDS)
        return bool(self._waiting)

    async def _write(self) -> None:
        """Write the oldest rows.

        Raises:
            StoreDown: they are still there.
        """
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            refused = await write(self._database, batch)
        except BaseException:  # cancelled too: no row is lost
            self._waiting.extendleft(reversed(batch))
            raise
        for request_id, reason in refused.items():
            log.error("row of the ledger refused, and lost", extra={"ledger_id": request_id, "reason": reason})

    def _tell(self, error: StoreDown) -> None:
        if not self._told:
            self._told = True
            log.warning("rows of the ledger wait", extra={"rows": len(self._waiting), "error": str(error)})
