"""Models on cache volumes in a simulated cluster: downloaded once, exchanged in order, and then it is quiet."""

import asyncio

import pytest

from tests.unit.operator.simulation.clock import virtual_time
from tests.unit.operator.simulation.world import World


def entry(revision, **fields):
    model = {"source": "hf://org/name", "revision": revision}
    return {"name": "m", "engine": "vLLM", "model": model, "cache": {"size": "5Gi"}, "gpu": {"count": 2}, **fields}


def downloads(world):
    return {place.name for place in world.children() if place.kind == "Job" and "-model-" in place.name}


def moments(world, kind, mark):
    """Versions at which objects came and went, by name."""
    found = {}
    for change in world.server.storage.history:
        if (
            change.place.kind == kind
            and mark in change.place.name
            and (change.before is None) != (change.after is None)
        ):
            found.setdefault(change.place.name, []).append(change.version)
    return found


@virtual_time
async def test_a_model_is_downloaded_before_its_pods_come():
    async with World() as world:
        world.create_app(inference=[entry("v1")])
        world.start()
        await world.settle()
        (job,) = downloads(world)
        came = moments(world, "Job", job)[job][0]
        assert all(came < version for name in moments(world, "Deployment", "inference").values() for version in name)
        assert world.app()["status"]["gpus"] == "2/2"


@virtual_time
@pytest.mark.parametrize("seed", range(4))
async def test_a_new_revision_takes_over_and_leaves_nothing_behind(seed):
    async with World(seed) as world:
        world.create_app(inference=[entry("v1")])
        first = world.start()
        await world.settle()
        (old,) = downloads(world)
        world.edit_app(inference=[entry("v2")])
        # Whatever it was at, another process goes on.
        await asyncio.sleep(seed * 0.4)
        await first.kill()
        world.start()
        await world.settle()
        (new,) = downloads(world)
        assert new != old
        made = moments(world, "Job", "-model-")
        (collect,) = made.keys() - {old, new}
        assert made[new][0] < made[collect][0] < made[old][1], "downloaded, cleaned up, forgotten"


@virtual_time
async def test_a_restarted_operator_writes_nothing():
    async with World() as world:
        world.create_app(inference=[entry("v1")])
        first = world.start()
        await world.settle()
        await first.stop()
        second = world.start()
        await asyncio.sleep(3600)
        assert second.connection.writes() == []


@virtual_time
async def test_another_image_of_the_service_downloads_nothing_again():
    async with World() as world:
        world.create_app(inference=[entry("v1")])
        world.start()
        await world.settle()
        before = moments(world, "Job", "-model-")
        world.edit_app(image="service:2")
        await world.settle()
        assert moments(world, "Job", "-model-") == before
