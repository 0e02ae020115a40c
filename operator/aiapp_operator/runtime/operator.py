"""The running operator: who leads, what is watched, who works."""

import asyncio
import logging
from collections import Counter

import kopf
from aiapp_service.config import API_PORT

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import WATCHED_KINDS, ComponentName, service_host
from aiapp_operator.kube.api_errors import ApiError
from aiapp_operator.kube.apply import Applier
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.informer import Informer, run_all
from aiapp_operator.kube.lease import Elector, LeaseLost, LeaseName
from aiapp_operator.kube.store import AppKey, AppStore, ChildStore
from aiapp_operator.runtime import handlers
from aiapp_operator.runtime.clock import micros_text
from aiapp_operator.runtime.metrics import Metrics
from aiapp_operator.runtime.outcome import RETRY, Ending, Outcome
from aiapp_operator.runtime.probes import ProbeServer
from aiapp_operator.runtime.prober import Ask, Prober
from aiapp_operator.runtime.queue import KeyedQueue
from aiapp_operator.runtime.reconciler import Reconciler, Surroundings
from aiapp_operator.runtime.schema_check import missing_fields

log = logging.getLogger(__name__)

SILENCE_SECONDS = 180.0
SCHEMA_SECONDS = 5.0
DRAIN_SECONDS = 10.0


class Operator:
    """Everything wired together; `run` goes until SIGTERM or the loss of the Lease."""

    def __init__(self, client: KubeClient, ask: Ask, metrics: Metrics, surroundings: Surroundings) -> None:
        settings = surroundings.settings
        self._in = surroundings
        self._client = client
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
        applier = Applier(client, self._children, metrics.count_apply)
        self._reconciler = Reconciler(client, self._apps, self._children, applier, self._prober, surroundings)
        self._probes = ProbeServer(metrics.registry, self.why_not_live, self.why_not_ready, self._before_scrape)
        self._informers: list[Informer] = []
        self._leading = False
        self._stopping = False
        self._heard_at = 0.0
        self._missing: list[str] | None = ["the CRD was not looked at yet"]

    async def run(self) -> int:
        """Run until told to stop; gives the exit code: 1 when the Lease was lost."""
        settings = self._in.settings
        self._heard_at = asyncio.get_running_loop().time()
        await self._probes.start(settings.host, settings.probe_port, settings.metrics_port)
        try:
            await self._until_schema_fits()
            return await self._lead()
        finally:
            await self._probes.stop()
            await self._client.close()

    def why_not_live(self) -> str:
        """Why this process should be restarted; empty when it should not."""
        silent = asyncio.get_running_loop().time() - self._heard_at
        return f"no watch was heard for {silent:.0f} s" if self._leading and silent > SILENCE_SECONDS else ""

    def why_not_ready(self) -> str:
        """Why this process cannot work; one that stands by for the Lease is ready."""
        if self._missing is None:
            return "the CRD aiapps.aiapp.dev is not installed"
        if self._missing:
            return f"the installed CRD lacks fields that this version needs: {', '.join(self._missing[:10])}"
        unsynced = [informer.kind for informer in self._informers if not informer.synced.is_set()]
        return f"not yet listed: {', '.join(unsynced)}" if unsynced else ""

    async def _until_schema_fits(self) -> None:
        said: object = ()
        while self._missing is None or self._missing:
            try:
                self._missing = await missing_fields(self._client)
            except ApiError as error:
                self._missing = [f"(the API server answered {error.reason})"]
            self._metrics.schema_missing.set(len(self._missing or ()))
            if self._missing or self._missing is None:
                if said != self._missing:
                    log.warning("waiting for the CRD", extra={"why": self.why_not_ready()})
                    said = self._missing
                await asyncio.sleep(SCHEMA_SECONDS)

    async def _lead(self) -> int:
        settings = self._in.settings
        lease = LeaseName(settings.lease_namespace, settings.lease_name, self._in.identity)
        elector = Elector(self._client, lease, lambda: micros_text(self._in.clock()), self._in.rng)
        if settings.leader_election:
            await elector.acquire()
        self._leading = True
        self._metrics.leader.set(1)
        code = 0
        try:
            await self._work(elector)
        except* LeaseLost as lost:
            log.warning("stopping", extra={"why": str(lost.exceptions[0])})
            code = 1
        finally:
            self._leading = False
            self._metrics.leader.set(0)
            if settings.leader_election and code == 0:
                await elector.release()
        return code

    async def _work(self, elector: Elector) -> None:
        settings = self._in.settings
        self._informers = [
            self._informer(kind, namespace)
            for namespace in settings.watch_namespaces or (None,)
            for kind in WATCHED_KINDS
        ]
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(run_all(self._informers), name="informers")]
            if settings.leader_election:
                background.append(group.create_task(elector.keep(), name="lease"))
            # Before the caches are full everything would look as if it had to be made.
            await asyncio.gather(*(informer.synced.wait() for informer in self._informers))
            background += [
                group.create_task(self._prober.run(), name="prober"),
                group.create_task(self._resync(), name="resync"),
            ]
            workers = [group.create_task(self._worker(), name=f"worker {n}") for n in range(settings.workers)]
            log.info("working", extra={"workers": settings.workers})
            await self._watch_apps()
            await self._drain()
            for task in (*workers, *background):
                task.cancel()

    def _informer(self, kind: str, namespace: str | None) -> Informer:
        return Informer(
            self._client,
            self._children,
            kind,
            namespace,
            touched=self._queue.add,
            heard=self._heard,
            restarted=lambda k: self._metrics.watch_restarts.labels(k).inc(),
            rng=self._in.rng,
        )

    async def _watch_apps(self) -> None:
        """kopf, until SIGTERM or SIGINT."""
        namespaces = self._in.settings.watch_namespaces
        await kopf.operator(
            registry=handlers.registry(self._seen, handlers.login),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )

    def _seen(self, type_: str | None, manifest: Manifest) -> None:
        key = AppKey(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        if type_ == "DELETED":
            self._apps.remove(key)
        else:
            self._apps.put(manifest)
        self._queue.add(key)

    def _health_url(self, key: AppKey) -> str:
        host = service_host(key.name, key.namespace, ComponentName.API)
        return f"http://{host}.{self._in.settings.cluster_domain}:{API_PORT}/health"

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    async def _worker(self) -> None:
        while not self._stopping:
            key = await self._queue.get()
            try:
                if not self._stopping:
                    self._settle(key, await self._timed(key))
            finally:
                self._queue.done(key)

    async def _timed(self, key: AppKey) -> Outcome:
        with self._metrics.reconcile_seconds.time():
            try:
                outcome = await self._reconciler.reconcile(key)
            except Exception:
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
        if outcome.ending is Ending.AFTER:
            self._queue.add_after(key, outcome.seconds)

    async def _resync(self) -> None:
        """Look at everything now and then; kopf never tells of a deletion that happens while it lists anew."""
        settings = self._in.settings
        while True:
            await asyncio.sleep(settings.resync * self._in.rng.uniform(0.9, 1.1))
            try:
                await self._list_apps()
            except ApiError as error:
                log.warning("resync failed", extra={"status": error.status, "error": error.reason})

    async def _list_apps(self) -> None:
        settings = self._in.settings
        before = set(self._apps)
        found = set()
        for namespace in settings.watch_namespaces or (None,):
            for manifest in (await self._client.list("AIApp", namespace, "")).items:
                self._apps.put(manifest)
                found.add(AppKey(manifest["metadata"]["namespace"], manifest["metadata"]["name"]))
        for gone in sorted(before - found):
            self._apps.remove(gone)
        for key in sorted(before | found):
            self._queue.add_after(key, self._in.rng.uniform(0, settings.resync / 4))

    async def _drain(self) -> None:
        """Take no more keys; let running reconciles end, for a while."""
        self._stopping = True
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._queue.until_idle()
        except TimeoutError:
            log.warning("reconciles cut off", extra={"after_seconds": DRAIN_SECONDS})

    def _before_scrape(self) -> None:
        self._metrics.queue_depth.set(len(self._queue))
        self._metrics.last_event_age.set(asyncio.get_running_loop().time() - self._heard_at)
        reasons: Counter[str] = Counter()
        for key in sorted(self._apps):
            status = (self._apps.get(key) or {}).get("status") or {}
            ready = next((c["reason"] for c in status.get("conditions", []) if c["type"] == "Ready"), "Unknown")
            reasons[ready] += 1
        self._metrics.set_apps(reasons)
