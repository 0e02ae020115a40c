"""Children that are no longer wanted go; what is somebody else's, or data, stays."""

import pytest

from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.api.plan import Plan
from aiapp_operator.kube.api_errors import ApiError
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.ownership import owner_reference
from aiapp_operator.kube.prune import prune
from aiapp_operator.kube.store import AppKey, ChildStore
from tests.unit.operator.examples import make_app
from tests.unit.operator.simulation.apiserver import ApiServer
from tests.unit.operator.simulation.clock import virtual_time
from tests.unit.operator.simulation.connection import Connection
from tests.unit.operator.simulation.faults import Faults
from tests.unit.operator.simulation.seeds import seeded
from tests.unit.operator.simulation.storage import Place

APP = make_app()
OTHER_OWNER = {**owner_reference(APP), "uid": "other"}


class Bench:
    """An API server and a cache with some children."""

    def __init__(self):
        self.server = ApiServer()
        self.faults = Faults(seeded(0))
        self.connection = Connection(self.server, seeded(1), self.faults)
        self.store = ChildStore()

    def child(self, name, kind="Service", owner=None):
        labels = {"app.kubernetes.io/managed-by": "aiapp-operator", "aiapp.dev/app": "shop"}
        references = [owner_reference(APP) if owner is None else owner] if owner != {} else []
        metadata = {"name": name, "namespace": "team", "labels": labels, "ownerReferences": references}
        spec = {"accessModes": [], "resources": {"requests": {"storage": "1Gi"}}}
        created = self.server.create({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec})
        self.store.put(created)
        return created

    async def prune(self, plan):
        return await prune(KubeClient(self.connection), self.store, APP, plan)

    def names(self):
        kinds = {"Service", "Pod", "PersistentVolumeClaim"}
        return sorted(m["metadata"]["name"] for m in self.server.storage.all() if m["kind"] in kinds)


@virtual_time
async def test_only_what_the_plan_neither_applies_nor_holds_goes():
    bench = Bench()
    applied = bench.child("applied")
    for name in ("held", "dropped", "dropped-too"):
        bench.child(name)
    plan = Plan(apply=(applied,), hold=frozenset({ObjectKey("Service", "held")}))
    assert await bench.prune(plan)
    assert bench.names() == ["applied", "held"]
    assert not await bench.prune(plan)
    assert bench.store.keys(AppKey("team", "shop")) == [ObjectKey("Service", "applied"), ObjectKey("Service", "held")]


@pytest.mark.parametrize(
    ("kind", "owner"),
    [
        ("Service", OTHER_OWNER),  # of another AIApp, though it carries our labels
        ("PersistentVolumeClaim", {}),  # data that is kept without an owner
        ("Pod", None),  # its controller's business
    ],
)
@virtual_time
async def test_what_is_not_ours_to_remove_stays(kind, owner):
    bench = Bench()
    bench.child("kept", kind, owner)
    assert not await bench.prune(Plan())
    assert bench.names() == ["kept"]


@virtual_time
async def test_another_object_that_took_the_name_meanwhile_is_not_deleted():
    bench = Bench()
    bench.child("a")
    bench.server.delete(Place("Service", "team", "a"))
    bench.server.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "team"}, "spec": {}}
    )
    with pytest.raises(ApiError):
        await bench.prune(Plan())
    assert bench.names() == ["a"]


@virtual_time
async def test_what_is_gone_already_is_no_trouble():
    bench = Bench()
    bench.child("a")
    bench.server.delete(Place("Service", "team", "a"))
    assert await bench.prune(Plan())
    assert bench.store.keys(AppKey("team", "shop")) == []


@virtual_time
async def test_what_a_finalizer_holds_is_deleted_once_and_stays_known():
    bench = Bench()
    bench.child("data", "PersistentVolumeClaim")
    assert await bench.prune(Plan())
    held = bench.server.get("PersistentVolumeClaim", "data")
    bench.store.put(held)
    assert held["metadata"]["deletionTimestamp"]
    assert not await bench.prune(Plan())
