"""Workers: they take keys from the queue, reconcile, and put keys back as the outcome says."""

import asyncio
import logging

from aiapp_operator.kube.store import AppKey
from aiapp_operator.runtime.metrics import Metrics
from aiapp_operator.runtime.outcome import RETRY, Ending, Outcome
from aiapp_operator.runtime.queue import KeyedQueue
from aiapp_operator.runtime.reconciler import Reconciler

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0


class Workers:
    """Any number of workers over one queue."""

    def __init__(self, queue: KeyedQueue[AppKey], reconciler: Reconciler, metrics: Metrics) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._metrics = metrics
        self._stopping = False

    async def work(self) -> None:
        """One worker, until cancelled or drained."""
        while not self._stopping:
            key = await self._queue.get()
            try:
                if not self._stopping:
                    self._settle(key, await self._reconcile(key))
            finally:
                self._queue.done(key)

    async def drain(self) -> None:
        """Take no more keys; let running reconciles end, for a while."""
        self._stopping = True
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._queue.until_idle()
        except TimeoutError:
            log.warning("reconciles cut off", extra={"after_seconds": DRAIN_SECONDS})

    async def _reconcile(self, key: AppKey) -> Outcome:
        with self._metrics.reconcile_seconds.time():
            try:
                outcome = await self._reconciler.reconcile(key, self._queue.failures(key))
            except Exception:  # of whatever kind
                # A defect of ours in one AIApp must not stop the work on the others.
                log.exception("reconcile raised", extra={"app": str(key)})
                outcome = RETRY
        self._metrics.reconciles.labels(outcome.ending.value).inc()
        return outcome

    def _settle(self, key: AppKey, outcome: Outcome) -> None:
        if outcome.ending is Ending.RETRY:
            self._metrics.retries.inc()
            self._queue.retry(key)
            return
        self._queue.forget_failures(key)
        if outcome.seconds:
            self._queue.add_after(key, outcome.seconds)
