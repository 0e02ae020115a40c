"""The running operator: who leads, what is watched, who works."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import OPTIONAL_KINDS, WATCHED_KINDS, ComponentName, service_host
from aiapp_operator.kube.api_errors import ApiError
from aiapp_operator.kube.apply import Applier
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.informer import Informer, run_all
from aiapp_operator.kube.lease import Elector, LeaseLost, LeaseName
from aiapp_operator.kube.store import AppKey, AppStore, ChildStore, app_key
from aiapp_operator.runtime.clock import micros_text
from aiapp_operator.runtime.downloads import Downloads
from aiapp_operator.runtime.metrics import Metrics
from aiapp_operator.runtime.prober import Ask, Prober
from aiapp_operator.runtime.probes import ProbeServer
from aiapp_operator.runtime.queue import KeyedQueue
from aiapp_operator.runtime.reconciler import Reconciler, Surroundings
from aiapp_operator.runtime.resync import Resync
from aiapp_operator.runtime.schema_check import missing_fields
from aiapp_operator.runtime.workers import Workers
from aiapp_service.config import API_PORT

log = logging.getLogger(__name__)

SILENCE_SECONDS = 180.0
SCHEMA_SECONDS = 5.0
# Controllers touch several children of an AIApp at once: they are looked at together.
SETTLE_SECONDS = 0.1

Seen = Callable[[str | None, Manifest], None]
WatchApps = Callable[[Seen, tuple[str, ...]], Awaitable[None]]


class Operator:
    """Everything wired together; `run` goes until `stop` or the loss of the Lease.

    `watch_apps` tells of AIApps of some namespaces (none: all) until cancelled: each event with its type, None
    for what is listed.
    """

    def __init__(
        self, client: KubeClient, watch_apps: WatchApps, ask: Ask, metrics: Metrics, surroundings: Surroundings
    ) -> None:
        settings = surroundings.settings
        self._in = surroundings
        self._client = client
        self._watch_apps = watch_apps
        self._metrics = metrics
        self._apps = AppStore()
        self._children = ChildStore()
        self._queue: KeyedQueue[AppKey] = KeyedQueue(surroundings.rng, metrics.queue_seconds.observe)
        self._prober = Prober(
            self._apps,
            self._children,
            ask,
            self._queue.add,
            interval=settings.health_interval,
            url=self._health_url,
            rng=surroundings.rng,
        )
        self._downloads = Downloads(
            self._apps, self._children, ask, self._queue.add, interval=settings.progress_interval, rng=surroundings.rng
        )
        self._resync = Resync(
            client,
            self._apps,
            self._queue,
            namespaces=settings.watch_namespaces,
            interval=settings.resync,
            rng=surroundings.rng,
        )
        applier = Applier(client, self._children, metrics.count_apply)
        self._absent: frozenset[str] = frozenset()
        reconciler = Reconciler(
            client,
            self._apps,
            self._children,
            applier,
            self._prober,
            lambda: self._absent,
            self._downloads,
            surroundings,
        )
        self._workers = Workers(self._queue, reconciler, metrics)
        self._probes = ProbeServer(metrics.registry, self.why_not_live, self.why_not_ready, self._before_scrape)
        self._informers: list[Informer] = []
        self._leading = False
        self._stop = asyncio.Event()
        self._heard_at: dict[str, float] = {}
        self._missing: list[str] | None = ["(not looked at yet)"]

    def stop(self) -> None:
        """End `run` in good order."""
        self._stop.set()

    async def run(self) -> int:
        """Run until told to stop; gives the exit code: 1 when the Lease was lost."""
        settings = self._in.settings
        await self._probes.start(settings.host, settings.probe_port, settings.metrics_port)
        try:
            await self._unless_stopped(self._until_schema_fits())
            lease = LeaseName(settings.lease_namespace, settings.lease_name, self._in.identity)
            elector = Elector(self._client, lease, lambda: micros_text(self._in.clock()), self._in.rng)
            if settings.leader_election:
                await self._unless_stopped(elector.acquire())
            return 0 if self._stop.is_set() else await self._lead(elector)
        finally:
            await self._probes.stop()
            await self._client.close()

    def why_not_live(self) -> str:
        """Why this process should be restarted; empty when it should not."""
        silent = asyncio.get_running_loop().time() - max(self._heard_at.values(), default=0.0)
        return f"no watch was heard for {silent:.0f} s" if self._leading and silent > SILENCE_SECONDS else ""

    def why_not_ready(self) -> str:
        """Why this process cannot work; one that stands by for the Lease is ready."""
        if self._missing is None:
            return "the CRD aiapps.aiapp.dev is not installed"
        if self._missing:
            return f"the installed CRD lacks fields that this version needs: {', '.join(self._missing[:10])}"
        unsynced = [informer.kind for informer in self._informers if not informer.synced.is_set()]
        return f"not yet listed: {', '.join(unsynced)}" if unsynced else ""

    async def _unless_stopped(self, work: Awaitable[None]) -> None:
        """Do `work`, or give it up when told to stop."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            task.cancel()
            stopped.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def _until_schema_fits(self) -> None:
        said = ""
        while True:
            try:
                self._missing = await missing_fields(self._client)
            except ApiError as error:
                self._missing = [f"(the API server answered {error.reason})"]
            self._metrics.schema_missing.set(len(self._missing or ()))
            why = self.why_not_ready()
            if not why:
                return
            if said != why:
                log.warning("waiting for the CRD", extra={"why": why})
                said = why
            await asyncio.sleep(SCHEMA_SECONDS)

    async def _lead(self, elector: Elector) -> int:
        self._heard_at = dict.fromkeys(WATCHED_KINDS, asyncio.get_running_loop().time())
        self._leading = True
        self._metrics.leader.set(1)
        lost = False
        try:
            await self._work(elector)
        except* LeaseLost as group:
            log.warning("stopping", extra={"why": str(group.exceptions[0])})
            lost = True
        finally:
            self._leading = False
            self._metrics.leader.set(0)
            if self._in.settings.leader_election and not lost:
                await elector.release()
        return 1 if lost else 0

    async def _work(self, elector: Elector) -> None:
        settings = self._in.settings
        places = settings.watch_namespaces or (None,)
        self._informers = [
            self._informer(kind, place) for place in places for kind in (*WATCHED_KINDS, *OPTIONAL_KINDS)
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run_all(self._informers), name="informers")]
            if settings.leader_election:
                tasks.append(group.create_task(elector.keep(), name="lease"))
            # Before the caches are full everything would look as if it had to be made.
            await self._unless_stopped(self._until_synced())
            tasks += [
                group.create_task(self._prober.run(), name="prober"),
                group.create_task(self._downloads.run(), name="downloads"),
                group.create_task(self._resync.run(), name="resync"),
                *(group.create_task(self._workers.work(), name=f"worker {n}") for n in range(settings.workers)),
                group.create_task(self._watching(), name="aiapps"),
            ]
            log.info("working", extra={"workers": settings.workers})
            await self._stop.wait()
            await self._workers.drain()
            for task in tasks:
                task.cancel()

    async def _until_synced(self) -> None:
        for informer in self._informers:
            await informer.synced.wait()

    async def _watching(self) -> None:
        await self._watch_apps(self._seen, self._in.settings.watch_namespaces)
        # A process that hears of no AIApp any more must not go on and look alive.
        if not self._stop.is_set():
            raise RuntimeError("the watch of AIApps has ended")

    def _informer(self, kind: str, namespace: str | None) -> Informer:
        return Informer(
            self._client,
            self._children,
            kind,
            namespace,
            touched=lambda key: self._queue.add_after(key, SETTLE_SECONDS),
            heard=self._heard,
            restarted=lambda k: self._metrics.watch_restarts.labels(k).inc(),
            rng=self._in.rng,
            served=self._served if kind in OPTIONAL_KINDS else None,
        )

    def _served(self, kind: str, served: bool) -> None:  # a callback
        absent = self._absent - {kind} if served else self._absent | {kind}
        if absent == self._absent:
            return
        self._absent = absent
        for key in self._apps:
            self._queue.add(key)

    def _seen(self, type_: str | None, manifest: Manifest) -> None:
        take = self._apps.remove if type_ == "DELETED" else self._apps.put
        # What is known already is mostly the echo of our own status.
        if take(manifest):
            self._queue.add(app_key(manifest))

    def _health_url(self, key: AppKey) -> str:
        host = service_host(key.name, key.namespace, ComponentName.API)
        return f"http://{host}.{self._in.settings.cluster_domain}:{API_PORT}/health"

    def _heard(self, kind: str) -> None:
        self._heard_at[kind] = asyncio.get_running_loop().time()

    def _before_scrape(self) -> None:
        self._metrics.queue_depth.set(len(self._queue))
        now = asyncio.get_running_loop().time()
        for kind, heard_at in self._heard_at.items():
            self._metrics.last_event_age.labels(kind).set(now - heard_at)
        reasons: Counter[str] = Counter()
        for key in sorted(self._apps):
            status = (self._apps.get(key) or {}).get("status") or {}
            ready = next((c["reason"] for c in status.get("conditions", []) if c["type"] == "Ready"), "Unknown")
            reasons[ready] += 1
        self._metrics.set_apps(reasons)
