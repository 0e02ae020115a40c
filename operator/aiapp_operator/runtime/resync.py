"""Looking at everything now and then.

kopf never tells of a deletion that happens while it lists anew, so AIApps are listed here too. And what a
user mends in objects that are not watched is noticed at the latest now.
"""

import asyncio
import logging
import random

from aiapp_operator.kube.api_errors import ApiError
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.store import AppKey, AppStore
from aiapp_operator.runtime.queue import KeyedQueue

log = logging.getLogger(__name__)


class Resync:
    """Lists AIApps of `namespaces` (none: all) about every `interval` seconds and spreads them over a quarter of it."""

    def __init__(
        self,
        client: KubeClient,
        apps: AppStore,
        queue: KeyedQueue[AppKey],
        *,
        namespaces: tuple[str, ...],
        interval: float,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._apps = apps
        self._queue = queue
        self._namespaces = namespaces
        self._interval = interval
        self._rng = rng

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval * self._rng.uniform(0.9, 1.1))
            try:
                await self.once()
            except ApiError as error:
                log.warning("resync failed", extra={"status": error.status, "error": error.reason})

    async def once(self) -> None:
        """List AIApps, forget those that are gone, queue all: what differs at once, its own event brings no news now.

        Raises:
            ApiError: the API server cannot be asked.
        """
        for namespace in self._namespaces or (None,):
            listing = await self._client.list("AIApp", namespace, "")
            for key in sorted(self._apps.replace(listing, namespace)):
                self._queue.add(key)
        for key in self._apps:
            self._queue.add_after(key, self._rng.uniform(0, self._interval / 4))
