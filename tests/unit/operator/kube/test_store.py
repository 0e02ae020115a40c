"""Stores: the newest version wins, whatever the order in which versions arrive."""

import itertools

import pytest

from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.kube.store import AppKey, AppStore, ChildStore, Listing

SHOP, MALL = AppKey("team", "shop"), AppKey("team", "mall")


def child(version, name="a", *, app="shop", kind="Service", namespace="team", **fields):
    labels = {"aiapp.dev/app": app}
    meta = {"name": name, "namespace": namespace, "resourceVersion": str(version), "labels": labels}
    return {"kind": kind, "metadata": meta, **fields}


def app(version, name="shop", namespace="team"):
    return {"kind": "AIApp", "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)}}


def test_a_newer_version_replaces_an_older_one():
    store = ChildStore()
    assert store.put(child(1)) == SHOP
    assert store.put(child(3)) == SHOP
    assert store.put(child(2)) is None, "late news"
    assert store.put(child(3)) is None, "the echo of our own write"
    assert store.get("Service", "team", "a") == child(3)


def test_managed_fields_are_not_kept():
    store = ChildStore()
    manifest = child(1)
    manifest["metadata"]["managedFields"] = [{"manager": "x"}]
    store.put(manifest)
    assert store.get("Service", "team", "a") == child(1)
    assert manifest["metadata"]["managedFields"], "what was given is left alone"


@pytest.mark.parametrize(
    ("known", "deleted", "left"),
    [(5, 5, False), (5, 6, False), (5, 4, True)],  # made anew since it was deleted
)
def test_removal_is_of_a_version(known, deleted, left):
    store = ChildStore()
    store.put(child(known))
    assert store.remove(child(deleted)) == (None if left else SHOP)
    assert (store.get("Service", "team", "a") is not None) is left


def test_removing_what_is_not_known_is_no_news():
    assert ChildStore().remove(child(1)) is None


@pytest.mark.parametrize("order", list(itertools.permutations([child(1), child(2), child(3)])))
def test_the_order_of_arrival_does_not_matter(order):
    store = ChildStore()
    for manifest in order:
        store.put(manifest)
    assert store.get("Service", "team", "a") == child(3)


def test_a_list_is_the_truth_up_to_its_version():
    store = ChildStore()
    for manifest in (child(1, "same"), child(2, "moved"), child(3, "gone"), child(4, "other", app="mall")):
        store.put(manifest)
    store.put(child(30, "written after the list"))
    touched = store.replace("Service", None, Listing([child(1, "same"), child(11, "moved"), child(12, "new")], "20"))
    assert touched == {SHOP, MALL}
    names = [key.name for key in store.keys(SHOP)]
    assert names == ["moved", "new", "same", "written after the list"]
    assert store.keys(MALL) == []


def test_a_list_that_brings_nothing_new_touches_nobody():
    store = ChildStore()
    store.put(child(1))
    assert store.replace("Service", None, Listing([child(1)], "20")) == set()


def test_a_list_of_one_namespace_says_nothing_of_others_nor_of_other_kinds():
    store = ChildStore()
    for manifest in (child(1, namespace="here"), child(2, namespace="there"), child(3, kind="Pod", namespace="here")):
        store.put(manifest)
    assert store.replace("Service", "here", Listing([], "20")) == {AppKey("here", "shop")}
    assert store.get("Service", "there", "a") is not None
    assert store.get("Pod", "here", "a") is not None


def test_children_are_found_by_app_in_a_fixed_order():
    store = ChildStore()
    for kind, name in [("Service", "b"), ("Pod", "z"), ("Service", "a")]:
        store.put(child(1, name, kind=kind))
    store.put(child(1, "c", app="mall"))
    assert store.keys(SHOP) == [ObjectKey("Pod", "z"), ObjectKey("Service", "a"), ObjectKey("Service", "b")]
    assert [c["metadata"]["name"] for c in store.children(SHOP)] == ["z", "a", "b"]


def test_a_child_that_changes_hands_is_the_new_ones():
    store = ChildStore()
    store.put(child(1))
    assert store.put(child(2, app="mall")) == MALL
    assert store.keys(SHOP) == []
    assert store.keys(MALL) == [ObjectKey("Service", "a")]


def test_what_was_found_to_hold_does_so_for_this_version_only():
    store = ChildStore()
    store.put(child(1))
    store.found_to_hold(child(1), "hash")
    assert store.holds("Service", "team", "a", "hash")
    assert not store.holds("Service", "team", "a", "other")
    store.put(child(2))
    assert not store.holds("Service", "team", "a", "hash")
    store.found_to_hold(child(1), "hash")
    assert not store.holds("Service", "team", "a", "hash"), "said of a version that is old by now"


def test_apps_are_known_by_their_newest_version():
    store = AppStore()
    assert [store.put(app(v)) for v in (2, 1, 2, 3)] == [True, False, False, True]
    assert store.get(SHOP) == app(3)
    assert store.get(MALL) is None


def test_a_deleted_app_is_forgotten_unless_it_was_made_anew():
    store = AppStore()
    store.put(app(5))
    assert not store.remove(app(4))
    assert store.remove(app(6))
    assert list(store) == []


def test_a_list_of_apps_tells_what_differs():
    store = AppStore()
    for manifest in (app(1, "same"), app(2, "moved"), app(3, "gone"), app(4, "elsewhere", "other"), app(50, "newer")):
        store.put(manifest)
    listing = Listing([app(1, "same"), app(12, "moved"), app(13, "new")], "20")
    assert store.replace(listing, "team") == {AppKey("team", name) for name in ("moved", "gone", "new")}
    assert [key.name for key in store] == ["elsewhere", "moved", "new", "newer", "same"]
