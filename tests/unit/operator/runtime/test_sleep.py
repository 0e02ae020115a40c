"""An AIApp is set to sleep and woken in a simulated cluster: in order, without a gap, however it is turned around."""

import asyncio
from functools import cache

import pytest

from tests.unit.operator.simulation.clock import virtual_time
from tests.unit.operator.simulation.controllers import is_ready
from tests.unit.operator.simulation.seeds import seeded, seeds
from tests.unit.operator.simulation.snapshot import remade_passwords, snapshot
from tests.unit.operator.simulation.storage import Place
from tests.unit.operator.simulation.world import NAMESPACE, World

LLAMA = {"name": "llama", "engine": "llamaCpp", "model": {"source": "image://models:1#/llama.gguf"}}
SPEC = {
    "workers": [{"name": "emb", "queues": ["embeddings"]}],
    "inference": [LLAMA],
    "objectStore": {"s3": {"bucket": "files", "credentialsSecretRef": {"name": "s3"}}},
    "postgres": {"managed": {}, "backup": {"schedule": "0 2 * * *"}},
}
WORKLOADS = ("shop-api", "shop-worker-emb", "shop-inference-llama", "shop-postgres", "shop-redis")


async def awake(world, **spec):
    meta = {"name": "s3", "namespace": NAMESPACE}
    world.server.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {}})
    world.create_app(**{**SPEC, **spec})
    process = world.start()
    await world.settle()
    return process


async def asleep(world, **spec):
    process = await awake(world, **spec)
    world.edit_app(state="Sleeping")
    await until_sleeping(world)
    await world.until_quiet()
    return process


async def until_sleeping(world):
    await world.until(lambda: world.condition("Ready").get("reason") == "Sleeping", what="it sleeps")


def pods(world):
    return sorted(p["metadata"]["labels"]["aiapp.dev/component"] for p in world.server.storage.all("Pod") if runs(p))


def runs(pod):
    return pod.get("status", {}).get("phase") != "Succeeded"


def front(world):
    return world.server.get("Service", "shop-api")["spec"]["selector"]["aiapp.dev/component"]


class Watched:
    """Follows history: whether the Service led to nothing, and in which order components lost and got their pods."""

    def __init__(self, world):
        self._ready, self._front = {}, ""
        self.gaps, self.order = [], []
        served = False
        for change in world.server.storage.history:
            self._take(change)
            served = served or self._answers()
            if served and not self._answers():
                self.gaps.append(f"{change.version}: {change.place}")

    def _take(self, change):
        if change.place == Place("Service", NAMESPACE, "shop-api") and change.after is not None:
            self._front = change.after["spec"]["selector"]["aiapp.dev/component"]
        if change.place.kind != "Pod":
            return
        component = (change.after or change.before)["metadata"]["labels"]["aiapp.dev/component"]
        found = self._ready.setdefault(component, set())
        before = bool(found)
        ready = change.after is not None and is_ready(change.after) and runs(change.after)
        (found.add if ready else found.discard)(change.place.name)
        if bool(found) != before:
            self.order.append((component, bool(found)))

    def _answers(self):
        return bool(self._ready.get(self._front))


@virtual_time
async def test_it_falls_asleep_in_order_and_nothing_is_lost():
    async with World() as world:
        await awake(world)
        before = {c["metadata"]["name"] for c in world.server.storage.all("PersistentVolumeClaim")}
        start = len(world.server.storage.history)
        world.edit_app(state="Sleeping")
        await world.until(lambda: world.condition("Ready").get("reason") == "FallingAsleep", what="on the way")
        assert world.condition("Reconciling")["status"] == "True"
        await until_sleeping(world)
        ready = world.condition("Ready")
        assert (ready["status"], world.condition("Reconciling"), world.condition("Stalled")) == ("True", {}, {})
        assert pods(world) == ["sleeping"]
        assert front(world) == "sleeping"
        assert {c["metadata"]["name"] for c in world.server.storage.all("PersistentVolumeClaim")} == before
        assert world.server.get("CronJob", "shop-backup")["spec"]["suspend"] is True
        states = {c["name"]: c["state"] for c in world.app()["status"]["components"]}
        assert states.pop("sleeping") == "Ready"
        assert set(states.values()) == {"Sleeping"}
        assert world.app()["status"]["api"] == "0/0"
        watched = Watched(world)
        assert watched.gaps == []
        lost = [component for component, there in watched.order if not there and component != "migrate"]
        assert sorted(lost[:2]) == ["api", "worker"]
        assert lost[2] == "inference"
        assert sorted(lost[3:]) == ["postgres", "redis"]
        await world.until_quiet()
        assert start < len(world.server.storage.history)


@virtual_time
async def test_it_wakes_in_order_and_says_how_long_that_took():
    async with World() as world:
        process = await asleep(world)
        jobs = world.server.storage.all("Job")
        world.edit_app(state="Running")
        await world.until(lambda: "wakingSince" in world.app()["status"], what="it says that it wakes")
        await world.until_ready()
        await world.until_quiet()
        assert front(world) == "api"
        assert pods(world) == ["api", "api", "inference", "postgres", "redis", "worker"]
        assert world.server.get("Deployment", "shop-sleeping") is None
        assert world.server.get("CronJob", "shop-backup")["spec"].get("suspend") is not True
        assert [job["metadata"]["uid"] for job in world.server.storage.all("Job")] == [
            job["metadata"]["uid"] for job in jobs
        ], "the same revision is not migrated again"
        status = world.app()["status"]
        assert "wakingSince" not in status
        assert 0 < status["lastWake"]["seconds"] < 60
        watched = Watched(world)
        assert watched.gaps == []
        came = [component for component, there in watched.order if there]
        woken = came[came.index("sleeping") + 1 :]
        assert max(woken.index("postgres"), woken.index("redis")) < woken.index("api") < woken.index("worker")
        writes = len(process.connection.writes())
        await asyncio.sleep(7200)
        assert len(process.connection.writes()) == writes


@virtual_time
async def test_another_image_is_migrated_when_it_wakes():
    async with World() as world:
        await asleep(world)
        world.edit_app(image="service:2")
        await world.until_quiet()
        assert len(world.server.storage.all("Job")) == 1, "nothing is migrated in its sleep"
        assert world.condition("Ready")["reason"] == "Sleeping"
        world.edit_app(state="Running")
        await world.settle()
        assert world.condition("Migrated")["status"] == "True"
        order = [c.place for c in world.server.storage.history if c.before is None]
        second = max(i for i, place in enumerate(order) if place.kind == "Job")
        assert any(place.kind == "Pod" and place.name.startswith("shop-api") for place in order[second:])


@virtual_time
async def test_databases_go_on_where_that_is_wanted():
    async with World() as world:
        await asleep(world, sleep={"databases": "KeepRunning"})
        assert pods(world) == ["postgres", "redis", "sleeping"]
        assert world.server.get("CronJob", "shop-backup")["spec"].get("suspend") is not True
        assert world.condition("PostgresReady")["status"] == "True"


@virtual_time
async def test_a_new_app_may_sleep_from_the_start_and_wakes():
    async with World() as world:
        world.create_app(state="Sleeping")
        world.start()
        await until_sleeping(world)
        await world.until_quiet()
        assert pods(world) == ["sleeping"]
        world.edit_app(state="Running")
        await world.settle()
        assert world.condition("Migrated")["status"] == "True"
        assert front(world) == "api"


@virtual_time
async def test_a_stand_in_that_cannot_start_leaves_the_api_as_it_is():
    async with World() as world:
        await awake(world)
        create = world.server.create

        def pending(manifest, manager="test"):
            if manifest["kind"] == "Pod" and "sleeping" in manifest["metadata"]["name"]:
                manifest = {**manifest, "spec": {**manifest["spec"], "initContainers": NEEDS_WHAT_IS_NOT_THERE}}
            return create(manifest, manager)

        world.server.create = pending
        world.edit_app(state="Sleeping")
        await world.until_quiet()
        assert pods(world).count("api") == 2
        assert front(world) == "api"
        assert world.condition("Ready")["status"] == "False"
        assert world.condition("Ready")["message"].startswith("APIReady: sleeping: 0/1 pods")


NEEDS_WHAT_IS_NOT_THERE = [{"name": "c", "env": [{"valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "k"}}}]}]


@virtual_time
async def test_an_autoscaled_app_wakes_with_its_least_number_which_is_the_autoscalers_then():
    autoscaling = {"minReplicas": 3, "maxReplicas": 9}
    async with World() as world:
        await awake(world, api={"autoscaling": autoscaling})
        world.load("shop-api", 7)
        await world.until(lambda: world.server.get("Deployment", "shop-api")["spec"]["replicas"] == 7)
        world.edit_app(state="Sleeping")
        await until_sleeping(world)
        assert world.server.get("HorizontalPodAutoscaler", "shop-api") is None
        await world.until_quiet()
        assert pods(world) == ["sleeping"]
        world.load("shop-api", 0)
        world.edit_app(state="Running")
        await world.settle()
        assert world.server.get("Deployment", "shop-api")["spec"]["replicas"] == 3
        assert world.server.get("HorizontalPodAutoscaler", "shop-api") is not None
        world.load("shop-api", 6)
        world.edit_app(image="service:2")
        await world.settle()
        assert world.server.get("Deployment", "shop-api")["spec"]["replicas"] == 6


@virtual_time
async def test_a_database_of_cloudnativepg_hibernates_and_comes_back():
    async with World() as world:
        postgres = {"cloudNativePG": {"instances": 3}}
        await awake(world, postgres=postgres, objectStore=None)
        world.edit_app(state="Sleeping")
        await until_sleeping(world)
        cluster = world.server.get("Cluster", "shop-postgres")
        assert cluster["metadata"]["annotations"]["cnpg.io/hibernation"] == "on"
        await world.until_quiet()
        world.edit_app(state="Running")
        await world.settle()
        assert "cnpg.io/hibernation" not in world.server.get("Cluster", "shop-postgres")["metadata"]["annotations"]


@virtual_time
async def test_passwords_that_are_rotated_on_the_way_are_rotated_once():
    async with World() as world:
        await awake(world)
        secrets = sum(1 for r in world.log if r.method == "POST" and r.route.kind == "Secret" and r.code == 201)

        def rotate(live):
            live["metadata"].setdefault("annotations", {})["aiapp.dev/rotate-passwords"] = "now"
            live["spec"]["state"] = "Sleeping"

        world.server.change(Place("AIApp", NAMESPACE, "shop"), rotate)
        await until_sleeping(world)
        world.edit_app(state="Running")
        await world.settle()
        made = sum(1 for r in world.log if r.method == "POST" and r.route.kind == "Secret" and r.code == 201)
        assert made - secrets == secrets, "each of them once"


@virtual_time
async def tossed(seed):
    """It is set to sleep and to run at any time, the operator comes and goes."""
    rng = seeded(seed)
    async with World(seed) as world:
        await awake(world)
        for _ in range(rng.randint(2, 8)):
            await asyncio.sleep(rng.choice([0.1, 2.0, 15.0]) * rng.random())
            if rng.random() < 0.3:
                await world.processes[-1].kill()
                world.start()
            else:
                world.edit_app(state=rng.choice(["Running", "Sleeping"]))
        world.edit_app(state="Running")
        await world.settle()
        return snapshot(world.server), Watched(world).gaps, remade_passwords(world.server)


@pytest.mark.parametrize("seed", seeds(0.5), ids=lambda seed: f"seed-{seed}")
def test_however_it_is_turned_around_somebody_always_answers(seed):
    end, gaps, remade = tossed(seed)
    assert gaps == []
    assert remade == set()
    assert end == never_slept()


@cache
@virtual_time
async def never_slept():
    async with World() as world:
        await awake(world)
        world.edit_app(state="Running")
        await world.settle()
        return snapshot(world.server)
