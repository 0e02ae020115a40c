"""Deleting an AIApp: what goes, what stays for the next one of its name, at whatever moment and whoever is down.

Garbage collection of a real cluster does all of it, by owners alone: there is no finalizer that could hold it up.
"""

import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.integration.operator.conftest import Simulated, assistant
from tests.integration.operator.process import operator
from tests.integration.operator.test_operator import made, wait_quiet
from tests.stack.aiapp import AppHandle
from tests.stack.kube import Kube
from tests.stack.wait import wait_until

GONE_SECONDS = 60
CACHED = {
    "name": "gemma",
    "engine": "vLLM",
    "model": {"source": "hf://google/gemma-3-270m"},
    "cache": {"size": "2Gi"},
}
VOLUMES = {f"PersistentVolumeClaim/app-{name}" for name in ("postgres", "redis", "inference-gemma-cache")}
SECRETS = {"postgres", "postgres-superuser", "postgres-api", "postgres-worker", "redis"}
DATA = VOLUMES | {f"Secret/app-{name}" for name in SECRETS}
# What every namespace has, and what goes by its own clock.
_OF_THE_NAMESPACE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
_EVENTS = ("event/", "event.events.k8s.io/")


def apply(kube: Kube, namespace: str, **spec: object) -> AppHandle:
    """An AIApp with every kind of volume there is."""
    kube.apply(assistant("app", namespace, inference=[CACHED], **spec))
    return AppHandle(kube, namespace, "app")


def everything(kube: Kube, namespace: str) -> set[str]:
    """All objects of the namespace, of whatever kind: kind in small letters and name."""
    kinds = kube.kubectl("api-resources", "--namespaced", "--verbs=list,delete", "--output=name").split()
    listed = kube.kubectl("-n", namespace, "get", ",".join(kinds), "--output=name", "--ignore-not-found").split()
    return {name for name in listed if not name.startswith(_EVENTS)} - _OF_THE_NAMESPACE


def delete(kube: Kube, namespace: str, *, left: frozenset[str] | set[str], cascade: str = "background") -> float:
    """Delete it and wait until nothing but `left` of it is there; gives the seconds that took."""
    began = time.monotonic()
    kube.kubectl("-n", namespace, "delete", "aiapp", "app", f"--cascade={cascade}", "--wait=false")

    def gone() -> bool:
        return kube.get("AIApp", "app", namespace) is None and made(kube, namespace, "app").keys() == left

    wait_until(f"only {left or 'nothing'} left", gone, seconds=GONE_SECONDS, seen=lambda: everything(kube, namespace))
    return time.monotonic() - began


def uids(kube: Kube, namespace: str, keys: set[str]) -> dict[str, str]:
    return {key: child["metadata"]["uid"] for key, child in made(kube, namespace, "app").items() if key in keys}


def owners(kube: Kube, namespace: str) -> dict[str, list[str]]:
    """Kinds of the owners of each object that holds data."""
    found = {key: child for key, child in made(kube, namespace, "app").items() if key in DATA}
    return {key: [o["kind"] for o in child["metadata"].get("ownerReferences") or ()] for key, child in found.items()}


def expected_owners(policy: str) -> dict[str, list[str]]:
    """A password lives and dies with the volume that it opens."""
    of_volume = ["AIApp"] if policy == "Delete" else []
    return {key: ["PersistentVolumeClaim"] if key.startswith("Secret/") else of_volume for key in DATA}


@pytest.mark.parametrize(
    ("running", "cascade"),
    [(True, "background"), (False, "background"), (True, "foreground")],
    ids=["running", "operator-down", "foreground"],
)
def test_delete_leaves_nothing(
    simulated: Simulated, namespace: str, tmp_path: Path, running: bool, cascade: str
) -> None:
    kube = simulated.kube
    app = apply(kube, namespace, deletionPolicy="Delete")
    with operator(simulated.kubeconfig, namespace, tmp_path) as first:
        app.wait_ready()
        wait_quiet(simulated, namespace)
        if not running:
            first.kill()
        took = delete(kube, namespace, left=frozenset(), cascade=cascade)
        print(f"{namespace}: everything gone after {took:.1f} s")
        assert everything(kube, namespace) == set()
    with operator(simulated.kubeconfig, namespace, tmp_path) if not running else nullcontext():
        wait_quiet(simulated, namespace)
    assert everything(kube, namespace) == set(), "an operator that comes later makes nothing of it again"


@pytest.mark.parametrize("running", [True, False], ids=["running", "operator-down"])
def test_retain_keeps_the_data_for_the_next_one(
    simulated: Simulated, namespace: str, tmp_path: Path, running: bool
) -> None:
    kube = simulated.kube
    app = apply(kube, namespace)
    with operator(simulated.kubeconfig, namespace, tmp_path) as first:
        app.wait_ready()
        wait_quiet(simulated, namespace)
        before = uids(kube, namespace, DATA)
        assert before.keys() == DATA
        passwords = {key: made(kube, namespace, "app")[key]["data"] for key in DATA if key.startswith("Secret/")}
        if not running:
            first.kill()
        delete(kube, namespace, left=DATA)
        assert len(everything(kube, namespace)) == len(DATA), everything(kube, namespace)
    with operator(simulated.kubeconfig, namespace, tmp_path):
        apply(kube, namespace).wait_ready()
    assert uids(kube, namespace, DATA) == before, "the same volumes, the same Secrets"
    assert {key: made(kube, namespace, "app")[key]["data"] for key in passwords} == passwords


def test_policy_is_changed_both_ways_on_a_live_app(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    app = apply(kube, namespace)
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        before = uids(kube, namespace, DATA)
        for policy in ("Delete", "Retain", "Delete", "Retain"):
            app.patch_spec({"deletionPolicy": policy})
            wait_until(
                f"owners under {policy}",
                lambda policy=policy: owners(kube, namespace) == expected_owners(policy),
                seconds=30,
                seen=lambda: owners(kube, namespace),
            )
            app.wait_ready()
            wait_quiet(simulated, namespace)
        assert uids(kube, namespace, DATA) == before
        delete(kube, namespace, left=DATA)
        # The one that takes the data over may think otherwise of it.
        apply(kube, namespace, deletionPolicy="Delete").wait_ready()
        assert uids(kube, namespace, DATA) == before
        assert owners(kube, namespace) == expected_owners("Delete")
        delete(kube, namespace, left=frozenset())


@pytest.mark.parametrize(
    ("seen", "policy"),
    [
        ("ServiceAccount", "Delete"),
        ("PersistentVolumeClaim", "Delete"),
        ("Secret", "Delete"),
        ("Secret", "Retain"),
        ("StatefulSet", "Delete"),
        ("Job", "Delete"),
        ("Deployment", "Delete"),
        ("Deployment", "Retain"),
    ],
)
def test_deleted_while_it_is_made(simulated: Simulated, namespace: str, tmp_path: Path, seen: str, policy: str) -> None:
    """Whatever is made after the deletion has an owner that is not there, and goes too."""
    kube = simulated.kube
    with operator(simulated.kubeconfig, namespace, tmp_path) as running:
        running.wait_working()
        apply(kube, namespace, deletionPolicy=policy)
        wait_until(f"a {seen}", lambda: kube.list(seen, namespace, "aiapp.dev/app=app"), seconds=30, pause=0.02)
        kube.delete("AIApp", "app", namespace)

        def settled() -> bool:
            found = made(kube, namespace, "app").keys()
            return found <= DATA if policy == "Retain" else not found

        wait_until("no more than data left", settled, seconds=GONE_SECONDS, seen=lambda: everything(kube, namespace))
        wait_quiet(simulated, namespace)
        assert settled(), everything(kube, namespace)
        apply(kube, namespace).wait_ready()
        assert uids(kube, namespace, DATA).keys() == DATA


@pytest.mark.parametrize(("first", "second"), [("Retain", "Delete"), ("Delete", "Retain"), ("Delete", "Delete")])
def test_made_anew_at_once(simulated: Simulated, namespace: str, tmp_path: Path, first: str, second: str) -> None:
    """What remains of the one before is waited for, and not taken for one's own."""
    kube = simulated.kube
    app = apply(kube, namespace, deletionPolicy=first)
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        before = uids(kube, namespace, DATA)
        kube.delete("AIApp", "app", namespace)
        apply(kube, namespace, deletionPolicy=second).wait_ready()
        wait_until(
            f"owners under {second}",
            lambda: owners(kube, namespace) == expected_owners(second),
            seconds=GONE_SECONDS,
            seen=lambda: owners(kube, namespace),
        )
        app.wait_ready()
        wait_quiet(simulated, namespace)
        after = uids(kube, namespace, DATA)
        assert (after == before) if first == "Retain" else not set(after.values()) & set(before.values())
        controllers = {
            owner["uid"]
            for child in made(kube, namespace, "app").values()
            for owner in child["metadata"].get("ownerReferences") or ()
            if owner["kind"] == "AIApp"
        }
        assert controllers == {app.read()["metadata"]["uid"]}


def test_orphaned_children_are_taken_over_as_they_are(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    """kubectl delete --cascade=orphan, and apply again: not one pod is restarted."""
    kube = simulated.kube
    app = apply(kube, namespace, deletionPolicy="Delete")
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        wait_quiet(simulated, namespace)
        pods = {pod["metadata"]["uid"] for pod in kube.list("Pod", namespace)}
        before = uids(kube, namespace, set(made(kube, namespace, "app")))
        kube.kubectl("-n", namespace, "delete", "aiapp", "app", "--cascade=orphan")
        apply(kube, namespace, deletionPolicy="Delete").wait_ready()
        wait_quiet(simulated, namespace)
        assert uids(kube, namespace, set(before)) == before
        assert {pod["metadata"]["uid"] for pod in kube.list("Pod", namespace)} == pods
        assert owners(kube, namespace) == expected_owners("Delete")


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_namespace_goes_with_all_of_it(simulated: Simulated, tmp_path: Path, policy: str) -> None:
    kube, namespace = simulated.kube, f"whole-{policy.lower()}"
    kube.namespace(namespace)
    app = apply(kube, namespace, deletionPolicy=policy)
    with operator(simulated.kubeconfig, namespace, tmp_path) as running:
        app.wait_ready()
        wait_quiet(simulated, namespace)
        mark = simulated.audit.mark()
        kube.delete("Namespace", namespace)
        wait_until(
            "namespace gone",
            lambda: kube.get("Namespace", namespace) is None,
            seconds=GONE_SECONDS,
            seen=lambda: kube.get("Namespace", namespace),
        )
        wait_quiet(simulated, namespace)
        writes = simulated.audit.operator_writes(mark, namespace)
        assert [write for write in writes if write.verb == "create" and write.status < 300] == []
        assert running.process.poll() is None, "the operator goes on"
