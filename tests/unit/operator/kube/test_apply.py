"""Making the world as planned: what is written, what is left alone, and which trouble is whose."""

import copy

import pytest

from aiapp_operator.api.names import WATCH_SELECTOR
from aiapp_operator.errors import Retry, Stalled, Waiting
from aiapp_operator.kube.api_errors import ApiError
from aiapp_operator.kube.apply import Applier
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.intent import covers
from aiapp_operator.kube.store import ChildStore, Listing
from tests.unit.operator.examples import make_app
from tests.unit.operator.simulation.answers import Refusal
from tests.unit.operator.simulation.apiserver import ApiServer, selected
from tests.unit.operator.simulation.clock import virtual_time
from tests.unit.operator.simulation.connection import Connection
from tests.unit.operator.simulation.faults import Faults
from tests.unit.operator.simulation.seeds import seeded
from tests.unit.operator.simulation.storage import Place

LABELS = {"app.kubernetes.io/managed-by": "aiapp-operator", "aiapp.dev/app": "shop"}
APP = make_app()
OTHER_APP = make_app("other")
OTHER_APP.metadata["uid"] = "other-uid"


def metadata(name="a", **more):
    return {"name": name, "namespace": "team", "labels": dict(LABELS), **more}


def deployment(name="a", *, env=("A",), selector="x", **meta):
    container = {"name": "api", "image": "i:1", "env": [{"name": n, "value": "1"} for n in env]}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"a": selector}},
        "template": {"spec": {"containers": [container]}},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(name, **meta), "spec": spec}


def service(name="a", **meta):
    spec = {"type": "ClusterIP", "selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, **meta), "spec": spec}


def claim(size="1Gi", **meta):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata("data", **meta), "spec": spec}


class Bench:
    """An API server, and one reconcile after the other on it: `seen` brings the cache up to date."""

    def __init__(self):
        self.server = ApiServer()
        self.faults = Faults(seeded(0))
        self.connection = Connection(self.server, seeded(1), self.faults)
        self.client = KubeClient(self.connection)
        self.store = ChildStore()
        self.results = []
        self.applier = Applier(self.client, self.store, lambda kind, result: self.results.append(result))

    async def apply(self, manifest, app=APP):
        """Apply with an up-to-date cache; gives whether anything was written."""
        self.seen()
        return await self.applier.apply(app, manifest)

    def seen(self):
        for kind in ("Deployment", "StatefulSet", "Service", "PersistentVolumeClaim", "Job"):
            there = [m for m in self.server.storage.all(kind) if selected(m, WATCH_SELECTOR)]
            self.store.replace(kind, None, Listing(there, str(self.server.storage.version)))

    def restart(self):
        self.store = ChildStore()
        self.applier = Applier(self.client, self.store, lambda kind, result: self.results.append(result))

    def writes(self):
        return len(self.connection.writes())

    def change(self, manifest, edit, manager="kubectl"):
        place = Place(manifest["kind"], "team", manifest["metadata"]["name"])
        return self.server.change(place, edit, manager)

    def live(self, manifest):
        return self.server.get(manifest["kind"], manifest["metadata"]["name"])


def container_of(manifest):
    return manifest["spec"]["template"]["spec"]["containers"][0]


@virtual_time
async def test_what_is_as_it_should_be_is_not_written_again_nor_after_a_restart():
    bench = Bench()
    assert await bench.apply(deployment())
    assert not await bench.apply(deployment())
    bench.restart()
    assert not await bench.apply(deployment())
    assert (bench.writes(), bench.results) == (1, ["applied", "skipped", "skipped"])


@virtual_time
async def test_what_was_applied_is_known_at_once():
    bench = Bench()
    await bench.applier.apply(APP, service())
    assert not await bench.applier.apply(APP, service()), "before any informer has told of it"


@virtual_time
async def test_the_child_is_owned_and_the_manifest_is_left_alone():
    bench = Bench()
    manifest = service()
    before = copy.deepcopy(manifest)
    await bench.apply(manifest)
    assert manifest == before
    owner = bench.live(manifest)["metadata"]["ownerReferences"][0]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("app-uid", True, True)


OURS = {
    "a value": lambda m: m["spec"].update(replicas=9),
    "an image": lambda m: container_of(m).update(image="other:2"),
    "an entry that is gone": lambda m: container_of(m)["env"].clear(),
    "an entry of somebody else's": lambda m: container_of(m)["env"].append({"name": "MINE", "value": "x"}),
    "a sidecar": lambda m: m["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "s"}),
    "our hash": lambda m: m["metadata"]["annotations"].clear(),
    "the label of the app": lambda m: m["metadata"]["labels"].update({"aiapp.dev/app": "other"}),
    "the label that is watched": lambda m: m["metadata"]["labels"].pop("app.kubernetes.io/managed-by"),
    "the owner": lambda m: m["metadata"].pop("ownerReferences"),
}


@pytest.mark.parametrize("edit", OURS.values(), ids=OURS)
@virtual_time
async def test_drift_is_healed(edit):
    bench = Bench()
    await bench.apply(deployment())
    before = copy.deepcopy(bench.live(deployment()))
    bench.change(deployment(), edit)
    assert await bench.apply(deployment())
    healed = bench.live(deployment())
    assert healed["spec"] == before["spec"]
    assert covers(healed["metadata"], {k: before["metadata"][k] for k in ("labels", "annotations", "ownerReferences")})
    assert not await bench.apply(deployment()), "and then there is nothing left to do"


THEIRS = {
    "an annotation": lambda m: m["metadata"]["annotations"].update({"example.com/note": "x"}),
    "a label": lambda m: m["metadata"]["labels"].update({"team": "a"}),
    "a finalizer": lambda m: m["metadata"].update(finalizers=["example.com/keep"]),
    "another owner": lambda m: m["metadata"]["ownerReferences"].append({"kind": "X", "name": "x", "uid": "x"}),
    "a field that we do not set": lambda m: m["spec"].update(paused=False),
    "a list that we do not set": lambda m: m["spec"]["template"]["spec"].update(tolerations=[{"key": "a"}]),
}


@pytest.mark.parametrize("edit", THEIRS.values(), ids=THEIRS)
@virtual_time
async def test_what_is_other_peoples_is_left_alone(edit):
    bench = Bench()
    await bench.apply(deployment())
    changed = copy.deepcopy(bench.change(deployment(), edit))
    assert not await bench.apply(deployment())
    assert bench.live(deployment()) == changed
    await bench.apply(deployment(env=("A", "B")))
    assert others_part(bench.live(deployment())) == others_part(changed), "nor is it touched when ours changes"


def others_part(manifest):
    """Everything but what versions count and what the second intent changes."""
    result = copy.deepcopy(manifest)
    for key in ("resourceVersion", "generation", "managedFields"):
        del result["metadata"][key]
    del result["metadata"]["annotations"]["aiapp.dev/intent"]
    del container_of(result)["env"]
    return result


@virtual_time
async def test_a_field_that_is_dropped_from_the_intent_goes():
    bench = Bench()
    await bench.apply(deployment(env=("A", "B"), annotations={"note": "x"}))
    await bench.apply(deployment(env=("A",)))
    live = bench.live(deployment())
    assert [e["name"] for e in container_of(live)["env"]] == ["A"]
    assert "note" not in live["metadata"]["annotations"]


@virtual_time
async def test_a_field_that_is_dropped_goes_also_after_a_replace():
    """A replace sets fields as an updater: that claim has to go, or dropped fields would stay for ever."""
    bench = Bench()
    await bench.apply(deployment(env=("A", "B")))
    bench.change(deployment(), lambda m: container_of(m)["env"].append({"name": "MINE", "value": "x"}))
    await bench.apply(deployment(env=("A", "B")))
    assert "replaced" in bench.results
    managers = [(e["manager"], e["operation"]) for e in bench.live(deployment())["metadata"]["managedFields"]]
    assert ("aiapp-operator", "Update") not in managers
    await bench.apply(deployment(env=("A",)))
    assert [e["name"] for e in container_of(bench.live(deployment()))["env"]] == ["A"]


@virtual_time
async def test_a_replace_that_meets_another_change_is_tried_again():
    bench = Bench()
    await bench.apply(service())
    bench.change(service(), lambda m: m["spec"]["ports"].append({"name": "x", "port": 99, "protocol": "TCP"}))
    replace = bench.client.replace

    async def late(manifest):
        bench.change(service(), lambda m: m["metadata"]["annotations"].update({"a": "b"}))
        return await replace(manifest)

    bench.client.replace = late
    with pytest.raises(Retry) as caught:
        await bench.apply(service())
    assert caught.value.reason == "Conflict"
    bench.client.replace = replace
    await bench.apply(service())
    assert [p["port"] for p in bench.live(service())["spec"]["ports"]] == [80]


@virtual_time
async def test_a_server_that_stores_other_words_is_not_written_to_for_ever():
    bench = Bench()
    bench.server.storage.put = rewriting(bench.server.storage.put)
    for _ in range(3):
        await bench.apply(service())
    assert bench.results == ["applied", "skipped", "skipped"]
    bench.change(service(), lambda m: m["spec"].update(type="NodePort"))
    await bench.apply(service())
    assert bench.results[3:] == ["applied"], "real drift is still seen"


def rewriting(put):
    """An admission webhook that has its own idea of a selector."""

    def changed(place, manifest):
        if place.kind != "Service":
            return put(place, manifest)
        return put(place, {**manifest, "spec": {**manifest["spec"], "selector": {"a": "webhook"}}})

    return changed


@pytest.mark.parametrize(
    ("existing", "reason", "words"),
    [
        ({"labels": {}}, "NameConflict", "Service a exists and belongs to nobody"),
        (
            {"ownerReferences": [{"kind": "AIApp", "name": "other", "uid": "x", "controller": True}]},
            "NameConflict",
            "Service a exists and belongs to AIApp other",
        ),
        (
            {"ownerReferences": [{"kind": "Service", "name": "knative", "uid": "x", "controller": True}]},
            "NameConflict",
            "belongs to Service knative",
        ),
        ({"labels": {**LABELS, "aiapp.dev/app": "other"}}, "NameConflict", "belongs to nobody"),
    ],
)
@virtual_time
async def test_what_belongs_to_others_is_never_touched(existing, reason, words):
    bench = Bench()
    theirs = bench.server.create({**service(), "metadata": {**metadata(), **existing}}, "somebody")
    with pytest.raises(Stalled) as caught:
        await bench.apply(service())
    assert caught.value.reason == reason
    assert words in caught.value.message
    assert bench.live(service()) == theirs
    assert bench.writes() == 0


@virtual_time
async def test_two_apps_that_spell_the_same_name_do_not_fight():
    bench = Bench()
    await bench.applier.apply(OTHER_APP, service())
    with pytest.raises(Stalled) as caught:
        await bench.applier.apply(APP, service())
    assert "AIApp other" in caught.value.message


@virtual_time
async def test_retained_data_of_the_same_name_is_adopted():
    bench = Bench()
    kept = bench.server.create(claim(), "aiapp-operator")
    assert await bench.apply(claim())
    adopted = bench.live(claim())["metadata"]
    assert adopted["uid"] == kept["metadata"]["uid"]
    assert adopted["ownerReferences"][0]["uid"] == "app-uid"
    await bench.apply(claim(ownerReferences=[]))
    assert bench.live(claim())["metadata"]["ownerReferences"] == []


@virtual_time
async def test_a_child_of_an_earlier_app_of_the_name_is_waited_for():
    bench = Bench()
    earlier = {"kind": "AIApp", "name": "shop", "uid": "earlier", "controller": True}
    bench.server.create(service(ownerReferences=[earlier]), "aiapp-operator")
    with pytest.raises(Waiting) as caught:
        await bench.apply(service())
    assert caught.value.reason == "PredecessorRemains"


@virtual_time
async def test_a_child_on_its_way_out_is_waited_for():
    bench = Bench()
    await bench.apply(claim())
    bench.server.delete(Place("PersistentVolumeClaim", "team", "data"))
    with pytest.raises(Waiting) as caught:
        await bench.apply(claim())
    assert caught.value.reason == "BeingDeleted"


@virtual_time
async def test_a_child_that_is_gone_is_made_anew_though_the_cache_does_not_know_yet():
    bench = Bench()
    await bench.apply(service())
    bench.server.delete(Place("Service", "team", "a"))
    assert await bench.applier.apply(APP, {**service(), "metadata": metadata(annotations={"a": "b"})})
    assert bench.live(service()) is not None


@virtual_time
async def test_a_namespace_that_ends_is_waited_for():
    bench = Bench()
    bench.server.terminating.add("team")
    with pytest.raises(Waiting) as caught:
        await bench.apply(service())
    assert caught.value.reason == "NamespaceTerminating"


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        ('pods "a" is forbidden: exceeded quota: small, requested: cpu=1', Waiting, "QuotaExceeded"),
        ("admission webhook denied the request: no", Stalled, "ChildForbidden"),
        ('services is forbidden: User "x" cannot patch resource', Stalled, "ChildForbidden"),
    ],
)
@virtual_time
async def test_who_is_to_mend_a_refusal(message, kind, reason):
    bench = Bench()
    refusing(bench, Refusal(403, "Forbidden", message))
    with pytest.raises(kind) as caught:
        await bench.apply(service())
    assert caught.value.reason == reason


def refusing(bench, refusal):
    bench.server.handle = lambda method, *rest: answer_of(bench, method, refusal, *rest)


def answer_of(bench, method, refusal, *rest):
    return refusal.response if method == "PATCH" else ApiServer.handle(bench.server, method, *rest)


@virtual_time
async def test_an_object_that_is_refused_names_its_fields():
    bench = Bench()
    refusing(bench, Refusal(422, "Invalid", "long words", [("spec.ports[0]", "must be between 1 and 65535")]))
    with pytest.raises(Stalled) as caught:
        await bench.apply(service())
    expected = "Service a is refused by the API server: spec.ports[0]: must be between 1 and 65535"
    assert (caught.value.reason, caught.value.message) == ("ChildRefused", expected)


@virtual_time
async def test_an_immutable_field_of_a_workload_makes_it_anew():
    bench = Bench()
    await bench.apply(deployment())
    uid = bench.live(deployment())["metadata"]["uid"]
    with pytest.raises(Waiting) as caught:
        await bench.apply(deployment(selector="y"))
    assert caught.value.reason == "MadeAnew"
    assert "spec.selector" in caught.value.message
    assert bench.live(deployment()) is None
    assert await bench.apply(deployment(selector="y"))
    assert bench.live(deployment())["metadata"]["uid"] != uid


@virtual_time
async def test_an_immutable_field_of_data_is_the_users_to_solve():
    bench = Bench()
    await bench.apply(claim("2Gi"))
    with pytest.raises(Stalled) as caught:
        await bench.apply(claim("1Gi"))
    assert "spec.resources.requests.storage" in caught.value.message
    assert bench.live(claim())["spec"]["resources"]["requests"]["storage"] == "2Gi"


@virtual_time
async def test_trouble_of_the_server_is_neither_stalled_nor_waiting():
    bench = Bench()
    refusing(bench, Refusal(503, "ServiceUnavailable", "later"))
    with pytest.raises(ApiError):
        await bench.apply(service())
