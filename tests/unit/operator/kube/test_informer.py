"""Informers: what is known is what is there, however often lists and watches fail."""

import asyncio
from collections import Counter

import pytest

from aiapp_operator.api.names import WATCHED_KINDS
from aiapp_operator.kube.client import PAGE, KubeClient
from aiapp_operator.kube.informer import BACKOFF_MOST_SECONDS, Informer, run_all
from aiapp_operator.kube.store import AppKey, ChildStore
from tests.unit.operator.simulation.apiserver import ApiServer
from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.connection import Connection
from tests.unit.operator.simulation.faults import Faults
from tests.unit.operator.simulation.seeds import seeded, seeds
from tests.unit.operator.simulation.storage import Place

SHOP = AppKey("team", "shop")


def service(name, *, managed=True, app="shop"):
    labels = {"aiapp.dev/app": app, **({"app.kubernetes.io/managed-by": "aiapp-operator"} if managed else {})}
    metadata = {"name": name, "namespace": "team", "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": []}}


class Watched:
    """An informer of Services that runs, and what it tells of."""

    def __init__(self, seed=0):
        self.server = ApiServer()
        self.faults = Faults(seeded(seed))
        self.connection = Connection(self.server, seeded(seed + 1), self.faults)
        self.store = ChildStore()
        self.touched, self.restarts, self.heard = [], 0, []
        self.informer = Informer(
            KubeClient(self.connection),
            self.store,
            "Service",
            None,
            touched=self.touched.append,
            heard=lambda _kind: self.heard.append(seconds()),
            restarted=self._restarted,
            rng=seeded(seed + 2),
        )

    async def __aenter__(self):
        self._task = asyncio.create_task(self.informer.run())
        return self

    async def __aexit__(self, *_exc):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _restarted(self, _kind):
        self.restarts += 1

    def asked(self):
        """When it asked for a list, or a page of one, or for a watch."""
        return [r.at for r in self.connection.requests if r.route.kind == "Service"]

    def known(self):
        return [key.name for key in self.store.keys(SHOP)]

    def delete(self, name):
        self.server.delete(Place("Service", "team", name))


@virtual_time
async def test_what_is_there_and_what_comes_is_known():
    watched = Watched()
    watched.server.create(service("a"))
    async with watched:
        await watched.informer.synced.wait()
        assert watched.known() == ["a"]
        watched.server.create(service("b"))
        await asyncio.sleep(1)
        assert watched.known() == ["a", "b"]
        watched.delete("a")
        await asyncio.sleep(1)
        assert watched.known() == ["b"]
        assert watched.touched == [SHOP] * 3


@virtual_time
async def test_only_what_the_operator_manages_is_seen():
    watched = Watched()
    watched.server.create(service("a", managed=False))
    async with watched:
        await watched.informer.synced.wait()
        watched.server.create(service("b", managed=False))
        watched.server.create(service("c"))
        await asyncio.sleep(1)
        assert watched.known() == ["c"]


@virtual_time
async def test_a_child_that_loses_its_label_is_gone():
    watched = Watched()
    watched.server.create(service("a"))
    async with watched:
        await watched.informer.synced.wait()
        place = Place("Service", "team", "a")
        watched.server.change(place, lambda m: m["metadata"]["labels"].pop("app.kubernetes.io/managed-by"))
        await asyncio.sleep(1)
        assert watched.known() == []


@virtual_time
async def test_long_lists_come_in_pages():
    watched = Watched()
    count = 2 * PAGE + 7
    for i in range(count):
        watched.server.create(service(f"s{i:05}"))
    async with watched:
        await watched.informer.synced.wait()
        assert len(watched.known()) == count
        assert len(watched.asked()) == 3


@virtual_time
async def test_bookmarks_keep_the_version_young():
    """Others write all the time and history is forgotten: a watch that is taken up again needs no new list."""
    watched = Watched()
    watched.server.create(service("a"))
    async with watched:
        await watched.informer.synced.wait()
        for _ in range(20):
            watched.server.create({"kind": "Event", "metadata": {"name": f"e{seconds()}", "namespace": "team"}})
            await asyncio.sleep(70)
            watched.server.storage.compact()
        watched.server.create(service("b"))
        await asyncio.sleep(1)
        assert watched.known() == ["a", "b"]
        assert watched.restarts == 0
        watches = len(watched.asked()) - 1
        assert watches == pytest.approx(1400 / 290, abs=1), "one list, then watches of five minutes"


@virtual_time
async def test_a_version_that_is_too_old_costs_a_new_list_which_brings_the_deletions():
    watched = Watched()
    for name in "abc":
        watched.server.create(service(name))
    async with watched:
        await watched.informer.synced.wait()
        watched.touched.clear()
        watched.faults.lag, watched.faults.until = 5.0, seconds() + 60
        watched.server.create(service("d"))
        watched.delete("a")
        watched.server.storage.compact()
        await asyncio.sleep(10)
        assert watched.restarts == 1
        assert watched.known() == ["b", "c", "d"]
        assert watched.touched == [SHOP]


@virtual_time
async def test_an_api_server_that_refuses_is_asked_less_and_less_often():
    watched = Watched()
    watched.faults.requests, watched.faults.until = 1.0, seconds() + 3600
    watched.faults.rng = NeverThrottled(7)
    async with watched:
        await asyncio.sleep(3600)
        pauses = [b - a for a, b in zip(watched.asked(), watched.asked()[1:], strict=False)]
        assert len(pauses) < 3600 / BACKOFF_MOST_SECONDS * 3, "about twice half a minute on average"
        assert max(pauses) <= BACKOFF_MOST_SECONDS + 1
        assert len({round(pause, 3) for pause in pauses[10:]}) > 0.9 * len(pauses[10:]), "with jitter"
        await asyncio.sleep(60)
        assert watched.informer.synced.is_set()


class NeverThrottled:
    """Draws nothing but the fault that a server in trouble gives at once."""

    def __init__(self, seed):
        self._rng = seeded(seed)

    def random(self):
        return self._rng.random()

    def choice(self, faults):
        return next(fault for fault in faults if fault == "500")

    def uniform(self, low, high):
        return self._rng.uniform(low, high)


@virtual_time
async def test_a_watch_that_breaks_is_taken_up_where_it_stopped():
    watched = Watched()
    watched.server.create(service("a"))
    async with watched:
        await watched.informer.synced.wait()
        listed = len(watched.asked())
        watched.faults.watches, watched.faults.until = 1.0, seconds() + 3600
        for i in range(50):
            watched.server.create(service(f"n{i}"))
            await asyncio.sleep(20)
        await asyncio.sleep(60)
        assert len(watched.known()) == 51
        assert Counter(watched.touched) == {SHOP: 51}, "nothing is told twice"
        assert watched.restarts > 10
        assert len(watched.asked()) > listed + 10


@virtual_time
async def test_a_watch_that_a_proxy_ends_at_once_does_not_spin():
    watched = Watched()

    async def ends(_path, _params):
        watched.connection.requests.append(None)
        for line in ():
            yield line

    watched.connection.lines = ends
    async with watched:
        await asyncio.sleep(600)
        assert len(watched.connection.requests) < 100


@virtual_time
async def test_an_informer_that_ends_takes_the_others_with_it():
    one, other = Watched(), Watched()

    async def broken():
        raise RuntimeError("a defect")

    one.informer.run = broken
    with pytest.raises(ExceptionGroup):
        await run_all([one.informer, other.informer])


@pytest.mark.parametrize("seed", seeds())
@virtual_time
async def test_in_the_end_the_store_is_what_is_there(seed):
    rng = seeded(seed)
    watched = Watched(seed)
    watched.faults.requests, watched.faults.watches = rng.choice([0.0, 0.3]), rng.choice([0.3, 1.0])
    watched.faults.lag, watched.faults.until = rng.choice([0.0, 3.0]), seconds() + 200
    async with watched:
        for _ in range(80):
            await asyncio.sleep(rng.uniform(0, 3))
            place = Place("Service", "team", rng.choice("abcdef"))
            act = rng.random()
            if act < 0.1:
                watched.server.storage.compact()
            elif watched.server.storage.get(place) is None:
                watched.server.create(service(place.name, app=rng.choice(["shop", "mall"])))
            elif act < 0.5:
                watched.server.delete(place)
            else:
                watched.server.change(place, lambda m: m["spec"].update(x=seconds()))
        await asyncio.sleep(400)
        there = {m["metadata"]["name"]: m["metadata"]["resourceVersion"] for m in watched.server.storage.all("Service")}
        known = [c for name in ("shop", "mall") for c in watched.store.children(AppKey("team", name))]
        assert {m["metadata"]["name"]: m["metadata"]["resourceVersion"] for m in known} == there


def test_secrets_are_not_watched():
    assert "Secret" not in WATCHED_KINDS
