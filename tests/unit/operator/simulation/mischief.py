"""What people and nodes do to a cluster at any time, drawn from a seed: an operator has to cope with all of it."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from aiapp_operator.api.manifest import Manifest
from tests.unit.operator.simulation.storage import Place
from tests.unit.operator.simulation.world import NAMESPACE, World

# Data that somebody deletes by hand is gone: no operator brings it back, so it is left out here.
_DATA = frozenset({"PersistentVolumeClaim", "Secret"})
_SPECS: tuple[Manifest, ...] = (
    {"api": {"replicas": 3}},
    {"api": {"replicas": 1}},
    {"image": "service:2"},
    {"image": None},
    {"workers": [{"name": "emb", "queues": ["embeddings"]}]},
    {"workers": [{"name": "emb", "queues": ["embeddings"]}, {"name": "tune", "queues": ["fine-tuning"]}]},
    {"workers": []},
    {"networkPolicy": {"enabled": False}},
    {"networkPolicy": {"enabled": True}},
    {"state": "Sleeping"},
    {"state": "Sleeping", "sleep": {"databases": "KeepRunning"}},
    {"state": "Running"},
    {"suspend": True},
    {"suspend": False},
)
_DRIFT: dict[str, Callable[[Manifest], Any]] = {
    "Deployment": lambda m: m["spec"].update(replicas=7),
    "StatefulSet": lambda m: m["spec"]["template"]["spec"]["containers"][0].update(image="other:1"),
    "Service": lambda m: m["spec"]["ports"].append({"port": 99, "protocol": "TCP", "name": "extra"}),
    "ConfigMap": lambda m: m["data"].clear(),
    "NetworkPolicy": lambda m: m["spec"].update(ingress=[]),
    "ServiceAccount": lambda m: m.update(automountServiceAccountToken=True),
    "PodDisruptionBudget": lambda m: m["spec"].update(maxUnavailable=2),
}


class Mischief:
    """Does something every few seconds."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self.done: list[str] = []
        self._acts: tuple[Callable[[], str], ...] = (
            self._edit,
            self._edit,
            self._drift,
            self._drift,
            self._delete_child,
            self._delete_pod,
            self._compact,
            self._replace_app,
        )

    async def run(self, *, acts: int, pause: float) -> None:
        """That many acts, with up to `pause` seconds before each; operators come and go meanwhile."""
        for _ in range(acts):
            await asyncio.sleep(self._rng.uniform(0.0, pause))
            if self._rng.random() < 0.2:
                await self._restart()
            else:
                self.done.append(self._rng.choice(self._acts)())

    async def _restart(self) -> None:
        process = self._world.processes[-1]
        if self._rng.random() < 0.5:
            await process.kill()
            self.done.append("kill")
        else:
            assert await process.stop() == 0
            self.done.append("stop")
        self._world.start()

    def _edit(self) -> str:
        spec = self._rng.choice(_SPECS)
        self._world.edit_app(**spec)
        return f"edit {spec}"

    def _child(self) -> Place | None:
        children = [place for place in self._world.children() if place.kind not in _DATA and place.kind != "Job"]
        return self._rng.choice(children) if children else None

    def _drift(self) -> str:
        place = self._child()
        if place is not None:
            self._world.server.change(place, _DRIFT[place.kind])
        return f"change {place}"

    def _delete_child(self) -> str:
        place = self._child()
        if place is not None:
            self._world.server.delete(place)
        return f"delete {place}"

    def _delete_pod(self) -> str:
        pods = self._world.server.storage.all("Pod")
        if pods:
            self._world.server.delete(Place("Pod", NAMESPACE, self._rng.choice(pods)["metadata"]["name"]))
        return "delete a Pod"

    def _compact(self) -> str:
        self._world.server.storage.compact()
        return "compact"

    def _replace_app(self) -> str:
        spec = self._world.app()["spec"]
        self._world.delete_app()
        self._world.create_app(**spec)
        return "delete and create the AIApp"
