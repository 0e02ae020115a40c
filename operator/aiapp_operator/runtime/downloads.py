"""Asking downloads how far they are: a Job's pod tells it over the cluster's network, as the API does of its health.

Kubernetes shows of a pod that runs nothing but that it runs. Failing to ask is no news: what was known stays.
"""

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp

from aiapp_operator.api.facts import Progress
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import LABEL_COMPONENT, ComponentName
from aiapp_operator.build.inference.download import PROGRESS_PORT
from aiapp_operator.kube.store import AppKey, AppStore, ChildStore
from aiapp_operator.runtime.prober import Ask, Changed

log = logging.getLogger(__name__)

# Each step is a write of the status.
STEPS = 100
AT_ONCE = 16
_MARK = f"-{ComponentName.MODEL.value}-"


class Downloads:
    """Keeps how far they are. `changed` hears of each AIApp for which it differs from before."""

    def __init__(
        self,
        apps: AppStore,
        children: ChildStore,
        ask: Ask,
        changed: Changed,
        *,
        interval: float,
        rng: random.Random,
    ) -> None:
        self._apps = apps
        self._children = children
        self._ask = ask
        self._changed = changed
        self._interval = interval
        self._rng = rng
        self._known: dict[AppKey, dict[str, Progress]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    def __call__(self, key: AppKey) -> Mapping[str, Progress]:
        """By Job, those of an AIApp that run and could be asked."""
        return self._known.get(key, {})

    async def run(self) -> None:
        """Ask all that run, each about once an interval, until cancelled."""
        while True:
            await asyncio.sleep(self._interval * self._rng.uniform(0.8, 1.2))
            running = {key: pods for key in self._apps if (pods := list(self._running(key)))}
            for key in sorted(self._known.keys() - running.keys()):
                del self._known[key]
            async with asyncio.TaskGroup() as group:
                for key, pods in running.items():
                    group.create_task(self._look(key, pods))

    async def _look(self, key: AppKey, pods: list[tuple[str, str]]) -> None:
        before = self._known.get(key, {})
        found = {job: await self._asked(address) or before.get(job) for job, address in pods}
        self._known[key] = {job: progress for job, progress in found.items() if progress is not None}
        if self._known[key] != before:
            self._changed(key)

    def _running(self, key: AppKey) -> Iterable[tuple[str, str]]:
        """Job and address of each pod that downloads."""
        for child in self._children.keys(key):
            if child.kind != "Pod" or _MARK not in child.name:
                continue
            pod = self._children.get(child.kind, key.namespace, child.name) or {"metadata": {}}
            labels = pod["metadata"].get("labels") or {}
            status = pod.get("status") or {}
            job = labels.get("batch.kubernetes.io/job-name")
            if labels.get(LABEL_COMPONENT) == ComponentName.MODEL and job and _runs(status):
                yield job, status["podIP"]

    async def _asked(self, address: str) -> Progress | None:
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._gate:
                return coarse(await self._ask(f"http://{host}:{PROGRESS_PORT}/progress"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.debug("progress not known", extra={"address": address, "error": type(error).__name__})
            return None


def coarse(document: Any) -> Progress | None:
    """What a download says, in steps; None before it knows its size.

    Raises:
        ValueError: it is no such document.
    """
    if not isinstance(document, dict):
        raise ValueError("not a progress document")  # noqa: TRY004  # one type of error for all that is wrong
    done, total = int(document.get("done", 0)), int(document.get("total", 0))
    if total <= 0:
        return None
    step = min(STEPS, max(0, done) * STEPS // total)
    return Progress(total * step // STEPS, total)


def _runs(status: Manifest) -> bool:
    return status.get("phase") == "Running" and bool(status.get("podIP"))
