"""Whatever happens, in the end the cluster is as if nothing had happened, and everything is quiet.

A seed that fails is in the message and is replayed exactly:
    pytest tests/unit/operator/runtime/test_chaos.py -k 'seed-17'
AIAPP_SEEDS says how many are run.
"""

from functools import cache

import pytest

from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.faults import Faults
from tests.unit.operator.simulation.mischief import Mischief
from tests.unit.operator.simulation.seeds import seeded, seeds
from tests.unit.operator.simulation.snapshot import remade_passwords, snapshot
from tests.unit.operator.simulation.world import World

FINAL = {
    "api": {"replicas": 2},
    "image": "service:3",
    "workers": [{"name": "emb", "queues": ["embeddings"]}],
    "networkPolicy": {"enabled": True},
    "suspend": False,
    "state": "Running",
    "sleep": {},
}


@cache
@virtual_time
async def undisturbed():
    async with World() as world:
        world.create_app(**FINAL)
        world.start()
        await world.settle()
        return snapshot(world.server)


@virtual_time
async def ordeal(seed):
    """What is left after mischief and faults, and what went on."""
    rng = seeded(seed)
    async with World(seed) as world:
        world.faults = Faults(
            seeded(seed),
            requests=rng.choice([0.0, 0.05, 0.3]),
            watches=rng.choice([0.0, 0.5]),
            lag=rng.choice([0, 0.1, 5]),
        )
        world.faults.until = seconds() + 600
        world.create_app(workers=[{"name": "emb", "queues": ["embeddings"]}])
        world.start()
        mischief = Mischief(world, rng)
        await mischief.run(acts=rng.randint(1, 12), pause=rng.choice([0.5, 5.0, 60.0]))
        world.edit_app(**FINAL)
        # Faults last for 600 s; what failed to the end is tried again within five minutes.
        await world.settle(within=1200)
        return snapshot(world.server), remade_passwords(world.server), [*mischief.done, *map(str, world.log)]


@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: f"seed-{seed}")
def test_in_the_end_nothing_has_happened(seed):
    end, remade, _ = ordeal(seed)
    assert end == undisturbed()
    assert remade == set()


@pytest.mark.parametrize("seed", seeds(0.1))
def test_a_seed_is_replayed_exactly(seed):
    assert ordeal(seed) == ordeal(seed)
