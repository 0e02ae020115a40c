"""The whole operator in a simulated cluster: to Ready, then quiet; restarts, suspension, deletion."""

import asyncio

import pytest

from aiapp_operator.api.names import WATCHED_KINDS
from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.snapshot import snapshot
from tests.unit.operator.simulation.storage import Place
from tests.unit.operator.simulation.world import NAMESPACE, World

WORKERS = [{"name": "emb", "queues": ["embeddings"]}]
CHILDREN = {
    "ConfigMap/shop-config",
    "Deployment/shop-api",
    "Deployment/shop-worker-emb",
    "NetworkPolicy/shop-postgres",
    "NetworkPolicy/shop-redis",
    "PersistentVolumeClaim/shop-postgres",
    "PersistentVolumeClaim/shop-redis",
    "PodDisruptionBudget/shop-api",
    "Secret/shop-postgres",
    "Secret/shop-postgres-api",
    "Secret/shop-postgres-superuser",
    "Secret/shop-postgres-worker",
    "Secret/shop-redis",
    "Service/shop-api",
    "Service/shop-postgres",
    "Service/shop-redis",
    "ServiceAccount/shop",
    "StatefulSet/shop-postgres",
    "StatefulSet/shop-redis",
}
DATA = {key for key in CHILDREN if key.startswith(("PersistentVolumeClaim/", "Secret/"))}


def keys(world):
    """Children by KIND/NAME; the name of the migration Job is a digest."""
    return {f"{place.kind}/{place.name}" for place in world.children() if place.kind != "Job"}


def created(world, kind):
    """How many objects of a kind were created successfully, by any process."""
    return sum(1 for r in world.log if r.method == "POST" and r.route.kind == kind and r.code == 201)


@virtual_time
async def test_a_new_app_becomes_ready():
    async with World() as world:
        world.create_app(workers=WORKERS)
        world.start()
        await world.settle()
        assert keys(world) == CHILDREN
        assert world.condition("BackendsHealthy")["status"] == "True"
        assert world.app()["status"]["database"]["migrated"] == "0002"
        owned = [m for m in world.server.storage.all() if m["kind"] in WATCHED_KINDS and m["kind"] != "Pod"]
        owners = {m["kind"]: [o["uid"] for o in m["metadata"].get("ownerReferences", [])] for m in owned}
        volumes = owners.pop("PersistentVolumeClaim")
        assert volumes == []
        assert all(found == [world.app()["metadata"]["uid"]] for found in owners.values())


@virtual_time
async def test_stages_come_in_their_order():
    async with World() as world:
        world.create_app()
        world.start()
        await world.settle()
        order = {}
        for change in world.server.storage.history:
            if change.before is None:
                order.setdefault(f"{change.place.kind}/{change.place.name.rpartition('-')[0]}", change.version)
        stages = [
            "PersistentVolumeClaim/shop",
            "Secret/shop",
            "StatefulSet/shop",
            "Job/shop-migrate",
            "Deployment/shop",
        ]
        assert sorted(stages, key=order.__getitem__) == stages


@virtual_time
async def test_an_idle_operator_writes_nothing_for_a_day():
    async with World() as world:
        world.create_app()
        process = world.start()
        await world.settle()
        writes = len(process.connection.writes())
        await asyncio.sleep(24 * 3600)
        assert len(process.connection.writes()) == writes
        assert process.operator.why_not_live() == ""


@virtual_time
async def test_a_restarted_operator_writes_nothing():
    async with World() as world:
        world.create_app(workers=WORKERS)
        first = world.start()
        await world.settle()
        assert await first.stop() == 0
        second = world.start()
        await asyncio.sleep(3600)
        assert not second.ended
        assert second.connection.writes() == []


@virtual_time
async def test_secrets_are_never_read_and_of_an_app_only_its_status_is_written():
    async with World() as world:
        world.create_app()
        world.start()
        await world.settle()
        world.delete_app()
        await world.until_quiet()
        assert {r.method for r in world.log if r.route.kind == "Secret"} == {"POST"}
        assert {r.route.subresource for r in world.log if r.route.kind == "AIApp" and r.method != "GET"} == {"status"}
        assert [r for r in world.log if r.code == 403] == []


@virtual_time
async def test_an_app_that_is_there_before_the_operator_is_like_one_that_comes_later():
    ends = []
    for early in (True, False):
        async with World() as world:
            if early:
                world.create_app()
            world.start()
            await asyncio.sleep(60)
            if not early:
                world.create_app()
            await world.settle()
            ends.append(snapshot(world.server))
    assert ends[0] == ends[1]


@pytest.mark.parametrize(("policy", "left"), [("Retain", DATA), ("Delete", set())])
@virtual_time
async def test_deleting_an_app_leaves_its_data_only_under_retain(policy, left):
    async with World() as world:
        world.create_app(deletionPolicy=policy)
        world.start()
        await world.settle()
        world.delete_app()
        await world.until_quiet()
        assert keys(world) == left


@virtual_time
async def test_an_app_of_the_same_name_takes_retained_data_over():
    async with World() as world:
        world.create_app()
        world.start()
        await world.settle()
        volume = world.server.get("PersistentVolumeClaim", "shop-postgres")["metadata"]["uid"]
        secret = world.server.get("Secret", "shop-postgres")
        world.delete_app()
        world.create_app(deletionPolicy="Delete")
        await world.settle()
        adopted = world.server.get("PersistentVolumeClaim", "shop-postgres")["metadata"]
        assert adopted["uid"] == volume
        assert [owner["uid"] for owner in adopted["ownerReferences"]] == [world.app()["metadata"]["uid"]]
        assert world.server.get("Secret", "shop-postgres") == secret


@virtual_time
async def test_a_suspended_app_is_left_alone_and_taken_up_again():
    async with World() as world:
        world.create_app()
        process = world.start()
        await world.settle()
        world.edit_app(suspend=True)
        await world.until(lambda: world.condition("Suspended") != {})
        world.edit_app(suspend=True, api={"replicas": 3})
        world.server.delete(Place("Service", NAMESPACE, "shop-api"))
        await world.until_quiet()
        assert world.server.get("Service", "shop-api") is None
        assert {str(r.route.kind) for r in process.connection.writes()[-2:]} == {"AIApp"}
        assert world.condition("Ready")["status"] == "True", "Ready keeps its last value"
        world.edit_app(suspend=False)
        await world.settle()
        assert world.condition("Suspended") == {}
        assert world.server.get("Deployment", "shop-api")["spec"]["replicas"] == 3
        assert world.server.get("Service", "shop-api") is not None


@virtual_time
async def test_an_unreadable_spec_is_said_and_mended():
    async with World() as world:
        world.create_app(api={"replicas": "many"})
        world.start()
        await world.until(lambda: world.condition("Stalled") != {})
        assert world.condition("SpecAccepted")["message"].startswith("spec.api.replicas: ")
        assert "many" not in world.condition("SpecAccepted")["message"]
        assert world.children() == []
        world.edit_app(api={"replicas": 1})
        await world.settle()
        assert world.condition("Stalled") == {}


@virtual_time
async def test_trouble_of_one_app_does_not_touch_another():
    async with World() as world:
        world.create_app("broken", inference=[{"name": "q", "engine": "vLLM", "model": {"source": "hf://o/m/f.gguf"}}])
        world.create_app()
        world.start()
        await world.settle()
        assert world.condition("Stalled", "broken")["reason"] == "InvalidSpec"
        assert world.is_ready()


@virtual_time
async def test_unhealthy_backends_are_noticed_and_forgotten():
    async with World() as world:
        world.create_app()
        world.start()
        await world.settle()
        world.health = {"status": "unhealthy", "checks": {"database": {"status": "error"}}}
        await world.until(lambda: not world.is_ready(), within=60)
        assert world.condition("BackendsHealthy")["message"] == "the API cannot answer, failing: database"
        world.health = {"status": "healthy", "checks": {}}
        await world.until(world.is_ready, within=60)


@virtual_time
async def test_a_model_that_nobody_serves_is_said_once_and_after_a_restart_not_again():
    backend = {"name": "lab/big", "status": "error", "reason": "server_error"}

    def health(second):
        told = {"code": 500 + second % 4, "since": f"2026-01-31T12:00:{second:02}+00:00"}
        return {
            "status": "degraded",
            "checks": {"llm": {"status": "error", "message": f"answered {second}"}},
            "backends": [{**backend, **told}],
            "models": [{"name": "chat", "served": False, "backends": ["lab/big"]}],
        }

    async with World() as world:
        world.create_app()
        first = world.start()
        await world.settle()
        world.health = health(0)
        await world.until(lambda: not world.is_ready(), within=60)
        ready = world.condition("Ready")
        assert ready["reason"] == "ModelNotServed"
        assert ready["message"].startswith("BackendsHealthy: model chat: backend lab/big answers with server errors")
        await world.until_quiet()
        writes = len(first.connection.writes())
        for second in range(1, 6):
            world.health = health(second)
            await asyncio.sleep(40)
        assert len(first.connection.writes()) == writes
        await first.stop()
        second_process = world.start()
        await asyncio.sleep(300)
        assert second_process.connection.writes() == []


@virtual_time
async def test_a_generated_secret_that_was_deleted_is_made_again_when_a_pod_waits_for_it():
    async with World() as world:
        world.create_app()
        world.start()
        await world.settle()
        world.server.delete(Place("Secret", NAMESPACE, "shop-redis"))
        await world.until_quiet()
        assert created(world, "Secret") == 5, "nobody needs it yet, and nobody can see that it is gone"
        pod = next(p for p in world.server.storage.all("Pod") if "shop-redis" in p["metadata"]["name"])
        world.server.delete(Place("Pod", NAMESPACE, pod["metadata"]["name"]))
        await world.settle()
        assert created(world, "Secret") == 6


@virtual_time
async def test_a_namespace_that_goes_away_is_left_in_peace():
    async with World() as world:
        world.create_app()
        process = world.start()
        await world.settle()
        world.server.terminating.add(NAMESPACE)
        world.server.delete(Place("Deployment", NAMESPACE, "shop-api"))
        before = len(process.connection.writes())
        start = seconds()
        await asyncio.sleep(600)
        assert len(process.connection.writes()) == before
        refused = [r for r in process.connection.requests if r.at > start and r.code == 403]
        assert 0 < len(refused) < 40, "looked at again every half minute"


@virtual_time
async def test_a_crd_that_comes_late_is_waited_for():
    async with World() as world:
        crd = world.server.storage.all("CustomResourceDefinition")[0]
        place = Place("CustomResourceDefinition", "", crd["metadata"]["name"])
        world.server.delete(place)
        process = world.start()
        await asyncio.sleep(60)
        assert process.operator.why_not_ready() == "the CRD aiapps.aiapp.dev is not installed"
        world.server.create(crd)
        world.create_app()
        await world.settle()
        assert process.operator.why_not_ready() == ""


@virtual_time
async def test_an_edit_that_comes_while_the_status_is_written_is_taken_up_at_once():
    """The API server's answer holds the edit already, so that its own event brings nothing new."""
    async with World() as world:
        world.create_app()
        world.start()
        await world.settle()
        handle = world.server.handle

        def edited_first(*request):
            if "status" in request[1]:
                world.server.handle = handle
                world.edit_app(api={"replicas": 3})
            return handle(*request)

        world.server.handle = edited_first
        world.faults.lag, world.faults.until = 2.0, seconds() + 10_000
        world.health = {"status": "degraded", "checks": {}}
        await world.until(lambda: world.app()["metadata"]["generation"] == 2)
        await world.until_ready(within=30)
        assert world.server.get("Deployment", "shop-api")["spec"]["replicas"] == 3


@virtual_time
async def test_an_edit_that_a_resync_sees_first_is_taken_up_at_once():
    async with World() as world:
        world.create_app()
        process = world.start()
        await world.settle()
        world.faults.lag, world.faults.until = 60.0, seconds() + 10_000
        for replicas in range(3, 8):
            world.edit_app(api={"replicas": replicas})
            await process.operator._resync.once()
            await asyncio.sleep(1)
            assert world.server.get("Deployment", "shop-api")["spec"]["replicas"] == replicas
