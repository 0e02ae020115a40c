"""A cluster with AIApps in it, and the operator as one process after the other."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, Self

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.config import Settings
from tests.unit.operator.simulation.apiserver import ApiServer
from tests.unit.operator.simulation.clock import seconds
from tests.unit.operator.simulation.connection import Connection, Request
from tests.unit.operator.simulation.controllers import Controllers, place_of
from tests.unit.operator.simulation.faults import Faults
from tests.unit.operator.simulation.process import Process
from tests.unit.operator.simulation.seeds import seeded
from tests.unit.operator.simulation.storage import Place

NAMESPACE = "team"
# More than a resync, every back-off and every wait of an outcome: what is quiet for so long stays so.
QUIET_SECONDS = 900.0
# Virtual time in which everything must have settled.
PATIENCE_SECONDS = 4 * 3600.0
SETTINGS = Settings(host="127.0.0.1", probe_port=0, metrics_port=0, leader_election=False, lease_namespace="system")


class NotSettled(AssertionError):
    """Something still moves, or never came."""


class World:
    """Everything random comes from `seed`."""

    def __init__(self, seed: int = 0) -> None:
        self._seeds = seeded(seed)
        self.server = ApiServer()
        self.faults = Faults(self._rng())
        self.health: Manifest = {"status": "healthy", "checks": {"database": {"status": "ok"}}}
        self.log: list[Request] = []
        self.processes: list[Process] = []
        self._controllers = Controllers(self.server, self._rng())
        self._background: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._background.append(asyncio.create_task(self._controllers.run()))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for process in self.processes:
            await process.kill()
        for task in self._background:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def start(self, *, dies_at: int = 0, **settings: Any) -> Process:
        """Start a process. `dies_at`: see Connection; the rest are settings that differ from SETTINGS."""
        connection = Connection(self.server, self._rng(), self.faults, dies_at, self.log.append)
        identity = f"operator-{len(self.processes) + 1}"
        chosen = SETTINGS.model_copy(update={"identity": identity, **settings})
        process = Process(connection, chosen, self._rng(), self._ask)
        self.processes.append(process)
        return process

    def create_app(self, name: str = "shop", **spec: Any) -> Manifest:
        """kubectl create."""
        metadata = {"name": name, "namespace": NAMESPACE}
        return self.server.create(
            {"apiVersion": "aiapp.dev/v1alpha1", "kind": "AIApp", "metadata": metadata, "spec": spec}
        )

    def edit_app(self, name: str = "shop", **spec: Any) -> None:
        """kubectl edit: fields of the spec; None takes one away."""

        def edit(live: Manifest) -> None:
            live["spec"] = {k: v for k, v in {**live["spec"], **spec}.items() if v is not None}

        self.server.change(Place("AIApp", NAMESPACE, name), edit)

    def delete_app(self, name: str = "shop") -> None:
        """kubectl delete; what it owned goes later, by garbage collection."""
        self.server.delete(Place("AIApp", NAMESPACE, name))

    def load(self, name: str, pods: int) -> None:
        """From now on an autoscaler finds that many pods of a workload right; within its bounds."""
        self._controllers.demand[name] = pods

        def notice(live: Manifest) -> None:
            live["metadata"].setdefault("annotations", {})["simulated/load"] = str(pods)

        for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            self.server.change(Place(kind, NAMESPACE, name), notice, "prometheus")

    def app(self, name: str = "shop") -> Manifest:
        found = self.server.get("AIApp", name)
        assert found is not None
        return found

    def condition(self, type_: str, name: str = "shop") -> Manifest:
        """One condition; empty while it is absent."""
        conditions = self.app(name)["status"].get("conditions", [])
        return next((c for c in conditions if c["type"] == type_), {})

    def is_ready(self, name: str = "shop") -> bool:
        """Ready=True, for the newest generation."""
        ready, app = self.condition("Ready", name), self.app(name)
        current = ready.get("observedGeneration") == app["metadata"]["generation"]
        return current and ready.get("status") == "True"

    def children(self) -> list[Place]:
        """What there is beside AIApps, Pods, Events and Leases."""
        apart = {"AIApp", "Pod", "Event", "Lease", "CustomResourceDefinition"}
        return [place for place in map(place_of, self.server.storage.all()) if place.kind not in apart]

    async def until(self, holds: Callable[[], bool], *, what: str = "", within: float = 600.0) -> None:
        """Wait until something holds. Raises NotSettled after `within` seconds of virtual time."""
        deadline = seconds() + within
        while not holds():
            try:
                async with asyncio.timeout_at(deadline):
                    await self.server.storage.changed()
            except TimeoutError:
                raise NotSettled(f"not within {within} s: {what or holds.__name__}") from None

    async def until_ready(self, name: str = "shop", within: float = 600.0) -> None:
        await self.until(lambda: self.is_ready(name), what=f"{name} is Ready", within=within)

    async def until_quiet(self) -> None:
        """Wait until nobody has written anything that counts for a long while. Raises NotSettled."""
        deadline = seconds() + PATIENCE_SECONDS
        seen = -1
        while seen != self._counted():
            if seconds() > deadline:
                last = "\n".join(str(request) for request in self.log[-20:])
                raise NotSettled(f"still moving:\n{last}")
            seen = self._counted()
            await asyncio.sleep(QUIET_SECONDS)

    async def settle(self, name: str = "shop", within: float = 600.0) -> None:
        """Until Ready and quiet."""
        await self.until_ready(name, within)
        await self.until_quiet()

    def _counted(self) -> int:
        """Changes so far, but for Leases, which are renewed for ever."""
        return sum(1 for change in self.server.storage.history if change.place.kind != "Lease")

    def _rng(self) -> random.Random:
        return seeded(self._seeds.getrandbits(64))

    async def _ask(self, _url: str) -> Manifest:
        await asyncio.sleep(0.01)
        return self.health
