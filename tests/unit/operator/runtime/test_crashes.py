"""The operator dies at any of its writes: the next one ends where an undisturbed one does."""

from functools import cache

import pytest

from tests.unit.operator.simulation.clock import virtual_time
from tests.unit.operator.simulation.process import CRASHED
from tests.unit.operator.simulation.snapshot import remade_passwords, snapshot
from tests.unit.operator.simulation.world import World

SPEC = {"workers": [{"name": "emb", "queues": ["embeddings"]}]}
CHANGED = {"image": "service:2", "workers": []}


async def install(world):
    world.create_app(**SPEC)


async def change(world):
    """An AIApp that is Ready gets another image, and loses a worker."""
    await install(world)
    process = world.start()
    await world.settle()
    await process.stop()
    world.edit_app(**CHANGED)


async def adopt(world):
    """An AIApp is made anew under the same name, while parts of the old one are still there."""
    await install(world)
    process = world.start()
    await world.settle()
    await process.stop()
    world.delete_app()
    await install(world)


async def sleep(world):
    """An AIApp that is Ready is set to sleep."""
    await install(world)
    process = world.start()
    await world.settle()
    await process.stop()
    world.edit_app(state="Sleeping")


async def wake(world):
    """An AIApp that sleeps is woken, with another image."""
    await install(world)
    world.edit_app(state="Sleeping", api={"autoscaling": {"minReplicas": 2, "maxReplicas": 5}})
    process = world.start()
    await world.settle()
    await process.stop()
    world.edit_app(state=None, image="service:2")


@cache
@virtual_time
async def undisturbed(story):
    """Where a story ends, and after how many writes."""
    async with World() as world:
        await story(world)
        process = world.start()
        await world.settle()
        return snapshot(world.server), len(process.connection.writes())


@virtual_time
async def disturbed(story, *writes):
    """Where a story ends when one process after the other dies, each at one of its writes."""
    async with World() as world:
        await story(world)
        for write in writes:
            assert await world.start(dies_at=write).exit_code() == CRASHED
        world.start()
        await world.settle()
        assert remade_passwords(world.server) == set()
        return snapshot(world.server)


@pytest.mark.parametrize(("story", "every"), [(install, 1), (change, 1), (adopt, 5), (sleep, 2), (wake, 2)])
def test_a_crash_at_any_write_changes_nothing_about_the_end(story, every):
    end, writes = undisturbed(story)
    assert writes > 5
    for write in range(1, writes + 1, every):
        assert disturbed(story, write) == end, f"write {write} of {writes}"


@pytest.mark.parametrize("writes", [(1, 1, 1), (9, 3), (3, 9), (4, 4, 1)])
def test_crashes_in_a_row_change_nothing_about_the_end(writes):
    assert disturbed(install, *writes) == undisturbed(install)[0]
