"""Inference that may have no pods: KEDA decides, may be missing, may come later, and sleeps with the rest."""

from tests.unit.operator.simulation.clock import virtual_time
from tests.unit.operator.simulation.world import World

NAME = "shop-inference-llama"
SCALED = {"minReplicas": 0, "maxReplicas": 3}
SPEC = {
    "inference": [
        {
            "name": "llama",
            "engine": "llamaCpp",
            "model": {"source": "image://models:1#/llama.gguf"},
            "autoscaling": SCALED,
        }
    ]
}


def replicas(world):
    return world.server.get("Deployment", NAME)["spec"]["replicas"]


@virtual_time
async def test_keda_decides_and_without_pods_it_is_ready():
    async with World() as world:
        world.create_app(**SPEC)
        process = world.start()
        await world.settle()
        assert replicas(world) == 0
        assert world.app()["status"]["inference"] == "0/0"
        active = world.condition("AutoscalingActive")
        assert (active["status"], active["message"]) == ("True", "inference/llama: 0 to 3 pods")
        assert world.server.get("HorizontalPodAutoscaler", NAME) is None
        world.load(NAME, 2)
        await world.until(lambda: world.app()["status"]["inference"] == "2/2", what="two pods")
        await world.until_quiet()
        world.load(NAME, 0)
        await world.settle()
        assert replicas(world) == 0
        writes = [r for r in process.connection.writes() if r.route.kind == "Deployment" and r.route.name == NAME]
        assert len(writes) == 1, "it was made, and its number of pods never written"


@virtual_time
async def test_without_keda_there_is_one_pod_and_it_is_noticed_without_a_restart():
    async with World() as world:
        world.server.absent.add("ScaledObject")
        world.create_app(**SPEC)
        world.start()
        await world.settle()
        assert replicas(world) == 1
        active = world.condition("AutoscalingActive")
        assert (active["status"], active["reason"]) == ("False", "KEDAMissing")
        assert "install it (https://keda.sh)" in active["message"]
        world.server.absent.clear()
        world.load(NAME, 1)
        await world.until(lambda: world.condition("AutoscalingActive")["status"] == "True", within=120)
        assert replicas(world) == 1, "the handover moves no pod"
        world.load(NAME, 0)
        await world.until(lambda: replicas(world) == 0)
        await world.settle()


@virtual_time
async def test_it_sleeps_and_wakes_with_the_rest():
    async with World() as world:
        world.create_app(**SPEC)
        world.start()
        await world.settle()
        world.load(NAME, 2)
        await world.until(lambda: replicas(world) == 2)
        world.edit_app(state="Sleeping")
        await world.until(lambda: world.condition("Ready").get("reason") == "Sleeping", what="it sleeps")
        assert world.server.get("ScaledObject", NAME) is None
        await world.until_quiet()
        assert replicas(world) == 0
        world.load(NAME, 0)
        world.edit_app(state="Running")
        await world.settle()
        assert replicas(world) == 0, "nobody asks for it"
        world.load(NAME, 1)
        await world.until(lambda: replicas(world) == 1)
