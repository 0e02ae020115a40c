"""Forty minutes of an autoscaler at work: the operator never says how many pods there are, whatever else goes on."""

import asyncio
import json

import pytest

from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.faults import Faults
from tests.unit.operator.simulation.seeds import seeded, seeds
from tests.unit.operator.simulation.storage import Place
from tests.unit.operator.simulation.world import NAMESPACE, World

SPEC = {
    "api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 8}},
    "workers": [{"name": "emb", "queues": ["embeddings"], "autoscaling": {"minReplicas": 1, "maxReplicas": 4}}],
    "postgres": {"managed": {"resources": {"limits": {"memory": "4Gi"}}}},
}
SCALED = ("shop-api", "shop-worker-emb")
MINUTES = 40


def listen(server):
    """Numbers of pods that anybody but the autoscaler sends for what is autoscaled."""
    told, handle = [], server.handle

    def listening(method, path, params, headers, body):
        document = json.loads(body) if body else {}
        name = (document.get("metadata") or {}).get("name", "")
        if method in {"PATCH", "PUT", "POST"} and name in SCALED and "replicas" in (document.get("spec") or {}):
            told.append((method, name, document["spec"]["replicas"]))
        return handle(method, path, params, headers, body)

    server.handle = listening
    return told


def replicas(world, name):
    return world.server.get("Deployment", name)["spec"]["replicas"]


async def scale(world, rng, number):
    """Another load, now and then with an edit, a restart of the operator or somebody who deletes a pod."""
    for name, most in zip(SCALED, (8, 4), strict=True):
        world.load(name, rng.randint(1, most))
    event = rng.random()
    if event < 0.2:
        world.edit_app(image=f"service:{number}")
    elif event < 0.3:
        await world.processes[-1].kill()
        world.start()
    elif event < 0.4:
        pod = rng.choice(world.server.storage.all("Pod"))
        world.server.delete(Place("Pod", NAMESPACE, pod["metadata"]["name"]))


@virtual_time
async def forty_minutes(seed):
    rng = seeded(seed)
    async with World(seed) as world:
        world.create_app(**SPEC)
        world.start()
        await world.settle()
        told = listen(world.server)
        before = len(world.server.storage.history)
        world.faults = Faults(seeded(seed), requests=0.05, watches=0.2, lag=rng.choice([0, 1.0]))
        world.faults.until = end = seconds() + MINUTES * 60
        number = 0
        while seconds() < end:
            await asyncio.sleep(rng.uniform(20, 60))
            number += 1
            await scale(world, rng, number)
        for name in SCALED:
            world.load(name, 3)
        await world.settle(within=1200)
        moves = [
            change
            for change in world.server.storage.history[before:]
            if change.place.name in SCALED and change.place.kind == "Deployment" and change.before and change.after
            if change.before["spec"]["replicas"] != change.after["spec"]["replicas"]
        ]
        return told, len(moves), [replicas(world, name) for name in SCALED]


@pytest.mark.parametrize("seed", seeds(0.05))
def test_the_operator_never_writes_replicas_of_what_is_autoscaled(seed):
    told, moves, end = forty_minutes(seed)
    assert told == []
    assert moves > 30, "the autoscaler was at work"
    assert end == [3, 3]
