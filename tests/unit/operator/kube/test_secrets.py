"""Generated Secrets: created once, never read, and their passwords fit where they are used."""

import string
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from aiapp_operator.api.plan import GeneratedSecret
from aiapp_operator.kube import secrets
from aiapp_operator.kube.api_errors import ApiError, Forbidden
from aiapp_operator.kube.client import KubeClient
from tests.unit.operator.simulation.apiserver import ApiServer
from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.connection import Connection
from tests.unit.operator.simulation.faults import Fault, Faults
from tests.unit.operator.simulation.seeds import seeded

SECRET = GeneratedSecret("shop-db", "team", {"a": "b"}, None, {"url": "postgresql://u:{password}@h:5432/d"})


class Bench:
    def __init__(self):
        self.server = ApiServer()
        self.faults = Faults(seeded(0))
        self.connection = Connection(self.server, seeded(1), self.faults)
        self.rng = seeded(2)

    async def create(self, secret=SECRET):
        return await secrets.create(KubeClient(self.connection), secret, self.rng)


@virtual_time
async def test_it_is_created_once():
    bench = Bench()
    assert await bench.create()
    first = bench.server.get("Secret", "shop-db")
    assert not await bench.create()
    assert bench.server.get("Secret", "shop-db") == first
    assert {r.method for r in bench.connection.requests} == {"POST"}


@virtual_time
async def test_one_of_before_gives_way():
    bench = Bench()
    await bench.create()
    before = bench.server.get("Secret", "shop-db")
    assert await bench.create(replace(SECRET, replace=True))
    after = bench.server.get("Secret", "shop-db")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["stringData"] != before["stringData"]


@virtual_time
async def test_a_reply_that_is_lost_makes_no_second_password():
    bench = Bench()
    bench.faults.requests, bench.faults.until = 1.0, seconds() + 1
    bench.faults.of_request = lambda *_, **__: Fault.LOST_REPLY if seconds() < bench.faults.until else None
    with pytest.raises(ApiError):
        await bench.create()
    first = bench.server.get("Secret", "shop-db")
    bench.faults.until = 0.0
    assert not await bench.create()
    assert bench.server.get("Secret", "shop-db") == first


@virtual_time
async def test_a_namespace_that_ends_is_a_refusal():
    bench = Bench()
    bench.server.terminating.add("team")
    with pytest.raises(Forbidden) as caught:
        await bench.create()
    assert caught.value.terminating


def test_passwords_stand_in_urls_as_they_are():
    found = {secrets.password(seeded(seed)) for seed in range(200)}
    assert len(found) == 200
    for password in found:
        assert len(password) == secrets.LENGTH
        assert set(password) <= set(string.ascii_letters + string.digits)
        url = SECRET.manifest(password)["stringData"]["url"]
        assert urlsplit(url).password == password


def test_an_owner_is_named_only_where_there_is_one():
    assert "ownerReferences" not in SECRET.manifest("p")["metadata"]
    owned = replace(SECRET, owner={"kind": "PersistentVolumeClaim", "name": "shop-db", "uid": "u"})
    assert owned.manifest("p")["metadata"]["ownerReferences"][0]["uid"] == "u"
