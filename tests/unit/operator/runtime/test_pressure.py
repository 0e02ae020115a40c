"""What the API tells of its database reaches PostgresReady and an Event; numbers that move write nothing."""

from tests.unit.operator.simulation.clock import virtual_time
from tests.unit.operator.simulation.world import World


def told(**fields):
    return {"status": "healthy", "checks": {"database": {"status": "ok", "latency": 1.0, **fields}}}


def connections(used):
    return told(connections={"used": used, "max": 100, "reserved": 3})


def events(world):
    found = (change.after for change in world.server.storage.history if change.place.kind == "Event" and change.after)
    return [(e["reason"], e["type"]) for e in found if e["note"].startswith("PostgresReady: ")]


@virtual_time
async def test_connections_that_run_out_are_told_once_and_over_a_restart():
    async with World() as world:
        world.create_app()
        world.start()
        await world.settle()
        world.health = connections(97)
        await world.until(lambda: world.condition("PostgresReady")["reason"] == "ConnectionsExhausted", within=120)
        assert "97 of 100 connections in use" in world.condition("PostgresReady")["message"]
        assert world.is_ready()
        await world.until_quiet()
        version = world.app()["metadata"]["resourceVersion"]
        for used in (96, 93, 97):
            world.health = connections(used)
            await world.until_quiet()
        await world.processes[-1].kill()
        world.start()
        await world.until_quiet()
        assert world.app()["metadata"]["resourceVersion"] == version, "nothing that counts has changed"
        world.health = connections(10)
        await world.until(lambda: world.condition("PostgresReady")["reason"] == "Ready", within=120)
        await world.until_quiet()
        assert events(world) == [("Ready", "Normal"), ("ConnectionsExhausted", "Warning"), ("Ready", "Normal")]


@virtual_time
async def test_a_disk_that_fills_up_is_told_while_it_serves():
    async with World() as world:
        world.create_app()
        world.start()
        await world.settle()
        for percent, status, reason in (
            (88, "True", "DiskNearlyFull"),
            (100, "False", "DiskFull"),
            (40, "True", "Ready"),
        ):
            world.health = told(disk={"percent": percent, "size": 10 * 1024**3})
            await world.until(lambda reason=reason: world.condition("PostgresReady")["reason"] == reason, within=120)
            assert world.condition("PostgresReady")["status"] == status
            assert world.is_ready()
            assert world.condition("Stalled") == {}
        await world.until_quiet()
        assert [reason for reason, _ in events(world)] == ["Ready", "DiskNearlyFull", "DiskFull", "Ready"]
