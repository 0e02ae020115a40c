"""The lines of a batch, some at once, each until it has a result; ends early when the run halts."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Container

from aiapp_service.batches.halting import Halt, Halting
from aiapp_service.batches.results import Result, Results
from aiapp_service.batches.source import FileGone
from aiapp_service.batches.trying import OutOfBudget, Trying
from aiapp_service.batches.validation import Line, parse
from aiapp_service.stores.breaker import StoreDown, StoreRefused

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_LAST_SECONDS = 1.0
_GIVEN_UP = {
    Halt.CANCELLED: ("batch_cancelled", "The batch was cancelled while this request was under way."),
    Halt.EXPIRED: ("batch_expired", "This request could not be executed before the completion window expired."),
}


class Feeding:
    """One run through the lines. At most `at_once` are under way, and as many more have results that wait."""

    def __init__(self, url: str, trying: Trying, results: Results, halting: Halting, at_once: int) -> None:
        self._url = url
        self._trying = trying
        self._results = results
        self._halting = halting
        self._at_once = at_once
        self._slots = asyncio.Semaphore(at_once)
        self._under_way: dict[asyncio.Task[None], Line] = {}
        # Out of budget: lines that are under way hold more than they will have cost.
        self._short = 0
        self._freed = asyncio.Condition()

    async def ask(self, lines: AsyncIterator[tuple[int, bytes]], done: Container[int]) -> None:
        """Ask all lines but those that are done; when this returns nothing is under way.

        Raises:
            StoreDown, FileGone: not all lines can be read; those that were under way have ended.
        """
        enforcing = asyncio.create_task(self._enforce())
        try:
            problem = await self._begin_all(lines, done)
            await self._settle()
        except asyncio.CancelledError:
            # The process stops; what is paid for already may come in the little time that is left.
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=_LAST_SECONDS)
            raise
        finally:
            left = [enforcing, *self._under_way]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if problem is not None:
            raise problem

    async def _begin_all(self, lines: AsyncIterator[tuple[int, bytes]], done: Container[int]) -> Exception | None:
        """What keeps it from reading them all."""
        try:
            async for number, text in lines:
                if number in done:
                    continue
                await self._slots.acquire()
                if self._halting.reason is not None:
                    break
                self._begin(parse(number, text, self._url))
        except (StoreDown, StoreRefused, FileGone) as error:
            return error
        return None

    def _begin(self, line: Line) -> None:
        task = asyncio.create_task(self._line(line))
        self._under_way[task] = line
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._slots.release()

    async def _settle(self) -> None:
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _enforce(self) -> None:
        """When the run halts nobody waits any more, and what takes too long is given up."""
        await self._halting.halted.wait()
        while self._under_way:
            async with self._freed:
                self._freed.notify_all()
            if self._halting.out_of_patience:
                for task in list(self._under_way):
                    task.cancel()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _line(self, line: Line) -> None:
        try:
            result = await self._result(line)
        except asyncio.CancelledError:
            told = _GIVEN_UP.get(self._halting.reason or Halt.LOST)
            if told is None or not self._halting.out_of_patience:
                raise
            result = self._trying.given_up(line, *told)
        if result is not None:
            await self._keep(result)
        if self._short:
            async with self._freed:
                self._freed.notify_all()

    async def _keep(self, result: Result) -> None:
        await self._results.put(result, self._at_once)

    async def _result(self, line: Line) -> Result | None:
        while self._halting.reason is None:
            try:
                return await self._trying.result(line)
            except OutOfBudget as error:
                await self._wait_for_room(error)
            except Exception:  # a mistake of ours costs one line, not the batch
                log.exception("line failed", extra={"request_id": self._trying.request_id(line)})
                return self._trying.failed(line)
        return None

    async def _wait_for_room(self, error: OutOfBudget) -> None:
        """Until another line is over; where all of them wait the batch does."""
        async with self._freed:
            self._short += 1
            try:
                if self._short >= len(self._under_way):
                    self._halting.halt(Halt.PAUSED, json.dumps({"code": error.code, "message": str(error)}))
                    self._freed.notify_all()
                else:
                    await self._freed.wait()
            finally:
                self._short -= 1
