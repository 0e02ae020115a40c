"""The number of pods, left to an autoscaler and taken back."""

from tests.unit.operator.kube.test_apply import Bench, deployment
from tests.unit.operator.simulation.clock import virtual_time


def autoscaled(manifest):
    del manifest["spec"]["replicas"]
    return manifest


@virtual_time
async def test_the_number_of_pods_stays_when_it_is_left_to_an_autoscaler():
    bench = Bench()
    await bench.apply(deployment())
    await bench.apply(autoscaled(deployment()))
    assert bench.live(deployment())["spec"]["replicas"] == 2
    bench.change(deployment(), lambda m: m["spec"].update(replicas=7), manager="autoscaler")
    assert not await bench.apply(autoscaled(deployment()))
    await bench.apply(autoscaled(deployment(env=("A", "B"))))
    assert bench.live(deployment())["spec"]["replicas"] == 7


@virtual_time
async def test_the_number_of_pods_that_is_set_again_is_ours_again():
    bench = Bench()
    await bench.apply(autoscaled(deployment()))
    bench.change(deployment(), lambda m: m["spec"].update(replicas=7), manager="autoscaler")
    await bench.apply(deployment())
    assert bench.live(deployment())["spec"]["replicas"] == 2
