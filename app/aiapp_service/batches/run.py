"""The worker's job for a batch: from wherever it stands to its end, or to where it has to wait."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiapp_service.batches.asking import Asker
from aiapp_service.batches.delivery import deliver
from aiapp_service.batches.feeding import Feeding
from aiapp_service.batches.halting import Halt, Halting
from aiapp_service.batches.hold import Hold
from aiapp_service.batches.lines import LineTooLong, lines_of
from aiapp_service.batches.record import ENDPOINTS, Status
from aiapp_service.batches.results import Results
from aiapp_service.batches.source import FileGone, chunks_of
from aiapp_service.batches.trying import Trying
from aiapp_service.batches.validation import Validation, parse
from aiapp_service.gateway import Gateway
from aiapp_service.storage.files import Files
from aiapp_service.stores.postgres import Database
from aiapp_service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

LINES_AT_ONCE = 32
PAUSE_SECONDS = 10.0
MOST_PAUSE_SECONDS = 300.0
_NOT_WRITTEN = 500
_LAST_SECONDS = 0.5
_SOON_SECONDS = 0.5


@dataclass(frozen=True)
class Workshop:
    """What every batch of a process is worked on with."""

    gateway: Gateway
    metrics: Metrics
    database: Database
    files: Files
    rng: random.Random
    stopping: asyncio.Event  # the process is about to end
    lines_at_once: int = LINES_AT_ONCE


class BatchRun:
    """One run of one batch."""

    def __init__(self, shop: Workshop, hold: Hold, job_cancelled: asyncio.Event) -> None:
        self._shop = shop
        self._hold = hold
        self._job_cancelled = job_cancelled

    async def run(self) -> float | None:
        """Work; gives after how many seconds the batch has to be gone on with, None: it has ended.

        Raises:
            StoreDown: a store is needed that does not answer; go on later.
            HoldLost: somebody else goes on.
        """
        while not Status(self._hold.batch.status).ended:
            wait = await self._step()
            if wait is not None:
                return wait
        batch = self._hold.batch
        counts = {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
        log.info("batch ended", extra={"batch": batch.id, "tenant": batch.tenant, "status": batch.status, **counts})
        return None

    async def _step(self) -> float | None:
        status = self._hold.batch.status
        try:
            if status == Status.VALIDATING:
                await self._validate()
            elif status == Status.IN_PROGRESS:
                return await self._ask()
            else:
                await deliver(self._shop.database, self._shop.files, self._hold)
        except FileGone:
            await self._end_without_file()
        return None

    async def _validate(self) -> None:
        batch = self._hold.batch
        if batch.expires_at <= datetime.now(UTC):
            await self._finalize("expired", Status.VALIDATING)
            return
        running = self._shop.gateway.current
        validation = Validation(running, batch.caller, batch.endpoint, ENDPOINTS[batch.endpoint])
        try:
            async for number, text in self._lines():
                validation.look_at(number, text)
                if validation.failed or self._hold.cancelling.is_set():
                    break
        except LineTooLong as error:
            validation.too_long(error.number)
        validation.close()
        if validation.errors:
            failed = {"status": Status.FAILED, "errors": validation.errors}
            await self._hold.change(failed, within=Status.VALIDATING, stamp="failed_at")
        else:
            passed = {"status": Status.IN_PROGRESS, "total": validation.total, "model": validation.model}
            await self._hold.change(passed, within=Status.VALIDATING, stamp="in_progress_at")

    async def _ask(self) -> float | None:
        shop, batch, hold = self._shop, self._hold.batch, self._hold
        halting, results = Halting(hold, self._job_cancelled, shop.stopping), Results(shop.database, hold)
        asker = Asker(shop.metrics, ENDPOINTS[batch.endpoint], batch.caller)
        trying = Trying(batch.id, asker, lambda: shop.gateway.current, shop.rng, halting.halted)
        feeding = Feeding(batch.endpoint, trying, results, halting, shop.lines_at_once)
        background = [asyncio.create_task(results.write()), asyncio.create_task(halting.watch())]
        background[0].add_done_callback(lambda task: None if task.cancelled() else halting.halt(Halt.LOST))
        try:
            await feeding.ask(self._lines(), await results.done())
            if halting.reason is Halt.EXPIRED:
                await self._expire(trying, results)
            await results.flush()
        finally:
            await results.flush_in(_LAST_SECONDS)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        return await self._after(halting)

    async def _after(self, halting: Halting) -> float | None:
        if halting.reason is Halt.PAUSED:
            return await self._pause(halting.message)
        if halting.reason in (Halt.GIVEN_BACK, Halt.STOPPING):
            return _SOON_SECONDS
        # One that is cancelled stands as that in the database, and changes to nothing else here.
        await self._finalize("expired" if halting.reason is Halt.EXPIRED else "completed", Status.IN_PROGRESS)
        return None

    async def _expire(self, trying: Trying, results: Results) -> None:
        """Tell of each line that has no result."""
        await results.flush()
        done = await results.done()
        message = "This request could not be executed before the completion window expired."
        async for number, text in self._lines():
            if number not in done:
                line = parse(number, text, self._hold.batch.endpoint)
                await results.put(trying.given_up(line, "batch_expired", message), _NOT_WRITTEN)

    async def _pause(self, why: str) -> float | None:
        before = self._hold.batch.paused or {}
        tries = int(before.get("tries", 0)) + 1 if before else 1
        seconds = min(PAUSE_SECONDS * 2.0 ** (tries - 1), MOST_PAUSE_SECONDS)
        resume_at = datetime.now(UTC) + timedelta(seconds=seconds)
        paused = {**json.loads(why), "tries": tries, "resumes_at": int(resume_at.timestamp())}
        await self._hold.change({"paused": paused, "resume_at": resume_at}, within=Status.IN_PROGRESS)
        if self._hold.batch.status != Status.IN_PROGRESS:
            return None
        log.info("batch paused", extra={"batch": self._hold.batch.id, "seconds": seconds, "code": paused["code"]})
        return seconds

    async def _finalize(self, ending: str, within: Status) -> None:
        finalizing = {"status": Status.FINALIZING, "ending": ending, "paused": None}
        await self._hold.change(finalizing, within=within, stamp="finalizing_at")

    async def _end_without_file(self) -> None:
        name = self._hold.batch.input_file_id
        error = {"code": "file_not_found", "line": None, "message": f"{name} was deleted", "param": "input_file_id"}
        failed = {"status": Status.FINALIZING, "ending": Status.FAILED, "errors": [error]}
        await self._hold.change(failed, within=Status(self._hold.batch.status), stamp="finalizing_at")

    async def _lines(self) -> AsyncIterator[tuple[int, bytes]]:
        batch = self._hold.batch
        async for number, text in lines_of(chunks_of(self._shop.files, batch.tenant, batch.input_file_id)):
            yield number, text
