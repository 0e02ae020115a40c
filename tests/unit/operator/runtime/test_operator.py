"""One process: who leads, when it ends, what its probes say."""

import asyncio

import pytest

from aiapp_operator.kube.lease import DURATION_SECONDS
from aiapp_operator.runtime.operator import SILENCE_SECONDS
from tests.unit.operator.simulation.apiserver import ApiServer
from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.storage import Place
from tests.unit.operator.simulation.watch import BOOKMARK_SECONDS
from tests.unit.operator.simulation.world import World

LEASE = Place("Lease", "system", "aiapp-operator")


def holder(world):
    return world.server.storage.get(LEASE)["spec"]["holderIdentity"]


@virtual_time
async def test_one_of_two_works_and_the_other_takes_over():
    async with World() as world:
        world.create_app()
        first = world.start(leader_election=True)
        await world.until_ready()
        second = world.start(leader_election=True)
        await asyncio.sleep(120)
        assert {r.route.kind for r in second.connection.requests} == {"CustomResourceDefinition", "Lease"}
        assert second.operator.why_not_ready() == "", "standing by is ready"
        await first.kill()
        world.edit_app(api={"replicas": 3})
        await world.until(lambda: world.server.get("Deployment", "shop-api")["spec"]["replicas"] == 3, within=30)
        await world.until_ready()
        assert holder(world) == "operator-2"


@virtual_time
async def test_a_stop_gives_the_lease_back():
    async with World() as world:
        first, second = world.start(leader_election=True), None
        await asyncio.sleep(60)
        second = world.start(leader_election=True)
        await asyncio.sleep(60)
        assert await first.stop() == 0
        stopped = seconds()
        await world.until(lambda: holder(world) == "operator-2", within=5)
        assert seconds() - stopped < 5
        assert first.connection.closed
        assert not second.ended


@virtual_time
async def test_a_lost_lease_ends_the_process_and_nothing_is_written_any_more():
    async with World() as world:
        world.create_app()
        process = world.start(leader_election=True)
        await world.until_ready()
        world.server.change(LEASE, lambda lease: lease["spec"].update(holderIdentity="another"))
        assert await process.exit_code() == 1
        requests = len(process.connection.requests)
        world.edit_app(api={"replicas": 3})
        await asyncio.sleep(600)
        assert len(process.connection.requests) == requests
        assert holder(world) == "another"


@virtual_time
async def test_a_cut_off_leader_ends_before_its_lease_runs_out():
    async with World() as world:
        process = world.start(leader_election=True)
        await asyncio.sleep(60)
        world.faults.requests, world.faults.until = 1.0, seconds() + 600
        cut = seconds()
        assert await process.exit_code() == 1
        assert seconds() - cut < DURATION_SECONDS


@virtual_time
async def test_a_stop_lets_a_running_reconcile_end():
    async with World() as world:
        process = world.start()
        await asyncio.sleep(10)
        world.create_app()
        await world.until(lambda: world.server.get("ServiceAccount", "shop") is not None)
        assert await process.stop() == 0
        assert world.server.get("PersistentVolumeClaim", "shop-redis") is not None, "the plan was carried out"
        assert world.app()["status"]["conditions"], "and what came of it was said"


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.01, 0.05, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("leader_election", [False, True])
@virtual_time
async def test_a_stop_at_any_moment_is_a_good_end(moment, leader_election):
    async with World() as world:
        world.create_app()
        process = world.start(leader_election=leader_election)
        await asyncio.sleep(moment)
        started = seconds()
        assert await process.stop() == 0
        assert seconds() - started < 15
        lease = world.server.storage.get(LEASE)
        assert lease is None or lease["spec"]["holderIdentity"] == ""


@virtual_time
async def test_nothing_is_made_before_everything_is_listed():
    """Else everything would look as if it had to be made, and pruned."""
    async with World() as world:
        world.create_app()
        first = world.start()
        await world.settle()
        await first.stop()
        refuse = RefusedList(world.server, "Job")
        world.server.handle = refuse
        second = world.start()
        await asyncio.sleep(300)
        assert second.operator.why_not_ready() == "not yet listed: Job"
        assert second.connection.writes() == []
        refuse.over = True
        await asyncio.sleep(60)
        assert second.operator.why_not_ready() == ""
        assert second.connection.writes() == []


class RefusedList:
    """An API server that cannot list one kind for a while."""

    def __init__(self, server: ApiServer, kind: str) -> None:
        self._handle = server.handle
        self._plural = f"/{kind.lower()}s"
        self.over = False

    def __call__(self, method, path, params, headers, body):
        if not self.over and path.endswith(self._plural):
            path, method = path + "/none", "GET"
        return self._handle(method, path, params, headers, body)


@virtual_time
async def test_a_watch_of_apps_that_ends_by_itself_ends_the_process():
    """A process that hears of no AIApp any more must not look alive."""
    async with World() as world:
        process = world.start()

        async def ends(*_):
            await asyncio.sleep(5)

        process.operator._watch_apps = ends
        with pytest.raises(ExceptionGroup):
            await process.exit_code()


@virtual_time
async def test_silence_of_all_watches_is_not_live():
    async with World() as world:
        process = world.start()
        await asyncio.sleep(600)
        assert process.operator.why_not_live() == "", "bookmarks are enough"
        process.connection.cut = True
        await asyncio.sleep(SILENCE_SECONDS + BOOKMARK_SECONDS)
        assert "no watch was heard" in process.operator.why_not_live()


@virtual_time
async def test_deleted_while_the_watch_looked_away_is_noticed_by_the_next_resync():
    """kopf lists anew after a gap and never tells of what was deleted in it."""
    async with World() as world:
        world.create_app()
        process = world.start()
        await world.settle()
        assert len(list(process.operator._apps)) == 1
        process.operator._seen = lambda *_: None
        world.delete_app()
        await asyncio.sleep(700)
        assert list(process.operator._apps) == []
