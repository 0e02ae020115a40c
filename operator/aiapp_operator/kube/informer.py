"""Informers: a list and a watch for each kind of child, kept up for as long as the operator runs.

The list replaces what is known and so brings deletions that no watch reported; the watch goes on
from its version. Bookmarks keep that version young. A watch that breaks is taken up again where it
stopped; only a version that is too old (410) costs a new list.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from aiapp_operator.api.names import WATCH_SELECTOR
from aiapp_operator.kube.api_errors import ApiError, Forbidden, Gone, NotFound
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.store import NEWEST, AppKey, ChildStore, Listing

log = logging.getLogger(__name__)

BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 30.0
# A watch that ends sooner was not served properly; a proxy that closes at once must not make us spin.
SHORTEST_WATCH_SECONDS = 1.0
# An API server that came back from a backup may never reach the version that we wait for.
FAILURES_UNTIL_LIST = 4
# Until an operator that was installed just now is noticed.
ABSENT_SECONDS = 20.0

Touched = Callable[[AppKey], None]
Heard = Callable[[str], None]
Restarted = Callable[[str], None]
Served = Callable[[str, bool], None]


class Informer:
    """One kind of one namespace, or of all. `touched` hears of each AIApp for which something changed.

    With `served` the kind is optional: its API may be absent, which is no failure and is looked at again. `served`
    hears which it is, each time that is known.
    """

    def __init__(
        self,
        client: KubeClient,
        store: ChildStore,
        kind: str,
        namespace: str | None,
        *,
        touched: Touched,
        heard: Heard,
        restarted: Restarted,
        rng: random.Random,
        served: Served | None = None,
    ) -> None:
        self.kind = kind
        self.namespace = namespace
        self.synced = asyncio.Event()
        self._client = client
        self._store = store
        self._touched = touched
        self._heard = heard
        self._restarted = restarted
        self._rng = rng
        self._served = served
        self._version = ""

    async def run(self) -> None:
        """Keep the store up to date until cancelled."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                failed = loop.time() - started < SHORTEST_WATCH_SECONDS
            except Gone:
                self._version = ""
                self._restarted(self.kind)
                failed = loop.time() - started < SHORTEST_WATCH_SECONDS
            except ApiError as error:
                if self._served is not None and isinstance(error, (NotFound, Forbidden)):
                    await self._absent(error)
                    continue
                failed = True
                self._restarted(self.kind)
                log.warning("watch failed", extra={"kind": self.kind, "status": error.status, "error": error.reason})
            failures = failures + 1 if failed else 0
            if failures >= FAILURES_UNTIL_LIST:
                self._version = ""
            if failed:
                await asyncio.sleep(self._pause(failures))

    async def _absent(self, error: ApiError) -> None:
        """The API is not served, or not to us: then there are no objects, and that is known."""
        if self._version or not self.synced.is_set():
            log.info("an optional API is not served", extra={"kind": self.kind, "status": error.status})
        self._version = ""
        self._heard(self.kind)
        for app in sorted(self._store.replace(self.kind, self.namespace, Listing([], NEWEST))):
            self._touched(app)
        if self._served is not None:
            self._served(self.kind, False)
        self.synced.set()
        await asyncio.sleep(ABSENT_SECONDS * self._rng.uniform(0.8, 1.2))

    def _pause(self, failures: int) -> float:
        """Seconds before the next try: exponential with full jitter."""
        return self._rng.uniform(0, min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(failures, 10)))

    async def _list(self) -> None:
        listing = await self._client.list(self.kind, self.namespace, WATCH_SELECTOR)
        touched = self._store.replace(self.kind, self.namespace, listing)
        self._version = listing.resource_version
        self._heard(self.kind)
        if self._served is not None:
            self._served(self.kind, True)
        self.synced.set()
        for app in sorted(touched):
            self._touched(app)

    async def _watch(self) -> None:
        async for event in self._client.watch(self.kind, self.namespace, WATCH_SELECTOR, self._version):
            self._heard(self.kind)
            self._version = str(event.object["metadata"]["resourceVersion"])
            if event.type == "BOOKMARK":
                continue
            take = self._store.remove if event.type == "DELETED" else self._store.put
            touched = take(event.object)
            if touched is not None:
                self._touched(touched)


async def run_all(informers: Sequence[Informer]) -> None:
    """Run informers until cancelled; one that ends takes the others with it."""
    async with asyncio.TaskGroup() as group:
        for informer in informers:
            group.create_task(informer.run(), name=f"informer {informer.kind}")
