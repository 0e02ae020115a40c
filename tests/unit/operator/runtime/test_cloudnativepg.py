"""A database of CloudNativePG: its operator may be missing, come later, and move the primary."""

from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.storage import Place
from tests.unit.operator.simulation.world import NAMESPACE, World

WANTED = {"cloudNativePG": {"instances": 3}}
CLUSTER = Place("Cluster", NAMESPACE, "shop-postgres")


def secrets(world):
    return sorted(p.name for p in world.children() if p.kind == "Secret" and "postgres" in p.name)


@virtual_time
async def test_it_waits_for_cloudnativepg_and_notices_it_without_a_restart():
    async with World() as world:
        world.server.absent.add("Cluster")
        world.create_app(postgres=WANTED)
        world.create_app("plain")
        process = world.start()
        await world.until(lambda: world.condition("Stalled") != {})
        missing = world.condition("DependenciesAvailable")
        assert (missing["status"], missing["reason"]) == ("False", "CloudNativePGMissing")
        assert "install it" in missing["message"]
        assert world.condition("Ready")["message"].startswith("DependenciesAvailable: postgres.cloudNativePG needs")
        await world.settle("plain")
        assert world.condition("DependenciesAvailable", "plain") == {}
        writes = len(process.connection.writes())
        await world.until_quiet()
        assert len(process.connection.writes()) == writes
        world.server.absent.clear()
        start = seconds()
        await world.until_ready()
        assert seconds() - start < 120
        await world.until_quiet()
        assert world.condition("DependenciesAvailable")["status"] == "True"
        assert world.condition("Stalled") == {}
        assert secrets(world)[:4] == [
            "plain-postgres",
            "plain-postgres-api",
            "plain-postgres-superuser",
            "plain-postgres-worker",
        ]


@virtual_time
async def test_a_failover_is_told_and_is_no_fault_of_the_user():
    async with World() as world:
        world.create_app(postgres=WANTED)
        world.start()
        await world.settle()
        assert world.condition("PostgresReady")["message"] == "postgres: 3/3 pods"
        healthy = world.server.storage.get(CLUSTER)["status"]
        moving = {"phase": "Failing over", "readyInstances": 2, "targetPrimary": "2"}
        world.server.set_status(CLUSTER, {**healthy, **moving})
        await world.until(lambda: world.condition("PostgresReady")["status"] == "False")
        assert world.condition("PostgresReady")["reason"] == "FailingOver"
        await world.until(lambda: world.condition("Reconciling") != {})
        assert world.condition("Stalled") == {}
        world.server.set_status(CLUSTER, {**healthy, "currentPrimary": "2", "targetPrimary": "2"})
        await world.settle()


@virtual_time
async def test_the_cluster_and_its_passwords_are_taken_over_by_the_next_app():
    async with World() as world:
        world.create_app(postgres=WANTED)
        world.start()
        await world.settle()
        before = [world.server.storage.get(CLUSTER)["metadata"]["uid"], world.server.get("Secret", "shop-postgres")]
        world.delete_app()
        await world.until_quiet()
        world.create_app(postgres=WANTED)
        await world.settle()
        after = [world.server.storage.get(CLUSTER)["metadata"]["uid"], world.server.get("Secret", "shop-postgres")]
        assert after == before


@virtual_time
async def test_under_delete_nothing_is_left_of_it():
    async with World() as world:
        world.create_app(postgres=WANTED, deletionPolicy="Delete")
        world.start()
        await world.settle()
        world.delete_app()
        await world.until_quiet()
        assert world.children() == []


@virtual_time
async def test_a_cluster_made_by_an_apply_that_met_the_deletion_of_the_one_before_has_passwords_of_its_own():
    """Such an apply carries what was known of the one before, and its Secrets are still there."""
    async with World() as world:
        app = Place("AIApp", NAMESPACE, "shop")
        world.create_app(postgres=WANTED)
        world.server.change(app, lambda m: m["metadata"].update(annotations={"aiapp.dev/rotate-passwords": "1"}))
        world.start()
        await world.settle()
        before = world.server.get("Secret", "shop-postgres")
        old = world.server.storage.get(CLUSTER)
        await world.processes[-1].kill()
        world.server.delete(CLUSTER)
        meta = {name: old["metadata"][name] for name in ("name", "namespace", "labels", "annotations")}
        raced = world.server.create({**old, "metadata": meta, "status": {}}, "aiapp-operator")
        assert raced["metadata"]["annotations"] == old["metadata"]["annotations"]
        world.start()
        await world.settle()
        found = world.server.storage.get(CLUSTER)
        assert found["metadata"]["annotations"]["aiapp.dev/secrets-made-for"] == found["metadata"]["uid"]
        for name in secrets(world):
            (owner,) = world.server.get("Secret", name)["metadata"]["ownerReferences"]
            assert owner["uid"] == found["metadata"]["uid"] != old["metadata"]["uid"], name
        assert world.server.get("Secret", "shop-postgres")["stringData"] != before["stringData"]
        await world.until_quiet()


@virtual_time
async def test_a_rotation_replaces_the_passwords_once():
    async with World() as world:
        world.create_app(postgres=WANTED)
        world.start()
        await world.settle()
        before = world.server.get("Secret", "shop-postgres-api")["stringData"]
        app = Place("AIApp", NAMESPACE, "shop")
        world.server.change(app, lambda m: m["metadata"].update(annotations={"aiapp.dev/rotate-passwords": "1"}))
        await world.settle()
        after = world.server.get("Secret", "shop-postgres-api")["stringData"]
        assert after["username"] == before["username"]
        assert after["password"] != before["password"]
        await world.processes[-1].kill()
        world.start()
        await world.settle()
        assert world.server.get("Secret", "shop-postgres-api")["stringData"] == after
