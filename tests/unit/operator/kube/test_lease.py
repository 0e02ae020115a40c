"""Leader election: one works, others stand by, and never two at a time whatever is slow or lost."""

import asyncio

import pytest

from aiapp_operator.kube.api_errors import Unavailable
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.lease import DURATION_SECONDS, RENEW_SECONDS, Elector, LeaseLost, LeaseName
from aiapp_operator.kube.transport import REQUEST_SECONDS
from aiapp_operator.runtime.clock import micros_text
from tests.unit.operator.simulation.apiserver import ApiServer
from tests.unit.operator.simulation.clock import seconds, virtual_time, wall_clock
from tests.unit.operator.simulation.seeds import seeded, seeds
from tests.unit.operator.simulation.storage import Place

PLACE = Place("Lease", "system", "aiapp-operator")


class Line:
    """A line to the API server that can be cut, and be slow on the way back."""

    def __init__(self, server, rng, slow=0.0):
        self.server = server
        self.rng = rng
        self.slow = slow
        self.cut = False
        self.writes = 0

    async def request(self, method, path, params, headers, body):
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._travel(0.0)
                self.writes += method != "GET"
                response = self.server.handle(method, path, params, headers, body)
                await self._travel(self.slow)
        except TimeoutError as error:
            raise Unavailable(0, "TimeoutError", "no answer") from error
        return response

    async def _travel(self, slow):
        if self.cut:
            await asyncio.sleep(0.01)
            raise Unavailable(0, "ClientOSError", "cut")
        # Mostly fast, sometimes very slow.
        await asyncio.sleep(self.rng.uniform(0, 0.01) if self.rng.random() < 0.7 else self.rng.uniform(0, slow))


class Candidate:
    """A process that leads as soon as it may, until it knows better."""

    def __init__(self, server, name, *, seed=0, slow=0.0, leading=None):
        self.name = name
        self.line = Line(server, seeded(seed), slow)
        lease = LeaseName("system", "aiapp-operator", name)
        self.elector = Elector(KubeClient(self.line), lease, lambda: micros_text(wall_clock()), seeded(seed + 1))
        self.led = []  # from when to when
        self.lost = None
        self._leading = leading if leading is not None else set()
        self._task = asyncio.create_task(self._run())

    @property
    def leads(self):
        return bool(self.led) and self.led[-1][1] is None

    async def _run(self):
        await self.elector.acquire()
        assert not self._leading, f"{self.name} leads beside {self._leading}"
        self._leading.add(self.name)
        self.led.append([seconds(), None])
        try:
            await self.elector.keep()
        except LeaseLost as error:
            self.lost = str(error)
        finally:
            self._leading.discard(self.name)
            self.led[-1][1] = seconds()

    async def end(self, *, release):
        """SIGTERM; or, without release, SIGKILL."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if release:
            await self.elector.release()

    async def result(self):
        """How it ended; raises what went wrong."""
        return await self._task


def holder(server):
    return server.storage.get(PLACE)["spec"]["holderIdentity"]


@virtual_time
async def test_the_first_one_leads_and_goes_on():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(3600)
    assert one.leads
    assert holder(server) == "one"
    lease = server.storage.get(PLACE)["spec"]
    assert (lease["leaseTransitions"], lease["leaseDurationSeconds"]) == (1, DURATION_SECONDS)
    await one.end(release=False)


@virtual_time
async def test_others_stand_by_and_write_nothing():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(1)
    two = Candidate(server, "two", seed=5)
    await asyncio.sleep(600)
    assert (one.leads, two.leads, two.line.writes) == (True, False, 0)
    await one.end(release=False)
    await two.end(release=False)


@virtual_time
async def test_a_lease_that_is_given_back_is_taken_within_seconds():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(1)
    two = Candidate(server, "two", seed=5)
    await asyncio.sleep(60)
    await one.end(release=True)
    assert holder(server) == ""
    await asyncio.sleep(3)
    assert two.leads
    await two.end(release=False)


@virtual_time
async def test_a_dead_leader_is_replaced_when_its_lease_has_run_out():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(1)
    two = Candidate(server, "two", seed=5)
    await asyncio.sleep(60)
    await one.end(release=False)
    await asyncio.sleep(DURATION_SECONDS - 2.5)
    assert not two.leads
    await asyncio.sleep(8)
    assert two.leads
    assert server.storage.get(PLACE)["spec"]["leaseTransitions"] == 2
    await two.end(release=False)


@virtual_time
async def test_a_process_that_starts_again_under_its_name_need_not_wait():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(5)
    await one.end(release=False)
    again = Candidate(server, "one", seed=9)
    await asyncio.sleep(1)
    assert again.leads
    await again.end(release=False)


@virtual_time
async def test_a_leader_that_reaches_nobody_stops_before_another_may_start():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(60)
    cut_at = seconds()
    one.line.cut = True
    await one.result()
    assert one.lost == "the Lease could not be renewed in time"
    assert seconds() - cut_at < DURATION_SECONDS


@virtual_time
async def test_a_short_outage_is_no_reason_to_stop():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(60)
    one.line.cut = True
    await asyncio.sleep(RENEW_SECONDS - 4)
    one.line.cut = False
    await asyncio.sleep(60)
    assert one.leads
    await one.end(release=False)


@virtual_time
async def test_a_lease_in_other_hands_ends_the_leader():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(10)
    server.change(PLACE, lambda lease: lease["spec"].update(holderIdentity="two"))
    await one.result()
    assert one.lost == "the Lease was taken by two"
    assert holder(server) == "two", "and is left alone"


@virtual_time
async def test_a_lease_that_was_touched_by_hand_is_kept():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(10)
    server.change(PLACE, lambda lease: lease["metadata"].update(annotations={"note": "x"}))
    await asyncio.sleep(60)
    assert one.leads
    assert server.storage.get(PLACE)["metadata"]["annotations"] == {"note": "x"}
    await one.end(release=False)


@virtual_time
async def test_a_lease_that_is_deleted_ends_the_leader():
    server = ApiServer()
    one = Candidate(server, "one")
    await asyncio.sleep(10)
    server.delete(PLACE)
    await one.result()
    assert one.lost == "the Lease could not be renewed in time"


@virtual_time
async def test_an_acquisition_that_was_answered_too_late_is_none():
    """The Lease may have run out while the answer was under way."""
    server = ApiServer()
    one = Candidate(server, "one")
    one.line._travel = slow_once(back=20.0)
    await asyncio.sleep(21)
    assert (holder(server), one.leads) == ("one", False)
    await asyncio.sleep(10)
    assert one.leads
    await one.end(release=False)


def slow_once(*, back):
    """Travel at once, but for the answer to the first write."""
    trips = iter([0.0, 0.0, 0.0, back])

    async def travel(_slow):
        await asyncio.sleep(next(trips, 0.0))

    return travel


@pytest.mark.parametrize("seed", seeds(5))
@virtual_time
async def test_never_two_lead_at_once(seed):
    """Candidates come, go, are cut off and are slow; who believes to lead is alone in it."""
    rng = seeded(seed)
    server, leading = ApiServer(), set()
    candidates, count = [], 0
    for _ in range(60):
        while len(candidates) < 3:
            count += 1
            slow = rng.choice([0.0, 0.0, 9.0, 29.0])
            candidates.append(Candidate(server, f"c{count}", seed=rng.randrange(10**6), slow=slow, leading=leading))
        await asyncio.sleep(rng.uniform(0, 15))
        candidate = rng.choice(candidates)
        act = rng.random()
        if act < 0.3:
            candidate.line.cut = not candidate.line.cut
        elif act < 0.4:
            await candidate.end(release=rng.random() < 0.5)
        for ended in [one for one in candidates if one._task.done()]:
            candidates.remove(ended)
            if not ended._task.cancelled():
                await ended.result()
    for candidate in candidates:
        candidate.line.cut, candidate.line.slow = False, 0.0
    await asyncio.sleep(120)
    assert len(leading) == 1
    assert count > 5
    for candidate in candidates:
        await candidate.end(release=False)
