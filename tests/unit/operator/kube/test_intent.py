"""Is an observed object what the intent says? Which part of it is not, and whose is the rest?"""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiapp_operator.kube.intent import covers, differences, has_foreign, intent_of, overlay, stamp
from aiapp_operator.kube.ownership import owner_reference
from tests.unit.operator.examples import LLAMA, make_app, settled

OTHER = {"uid": "u2"}
OWNER = {"kind": "AIApp", "name": "shop", "uid": "u1", "controller": True}


def paths(observed, intent):
    return [difference.path for difference in differences(observed, intent)]


@pytest.mark.parametrize(
    ("observed", "intent", "differing"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 2}, {"a": 1}, []),  # other fields are other people's
        ({"a": 2}, {"a": 1}, ["a"]),
        ({}, {"a": 1}, ["a"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 2}}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": None}, {"a": {"b": 1}}, ["a"]),
        ({}, {"a": {}}, []),  # the API server drops what is empty
        ({}, {"a": []}, []),
        ({"a": ["x"]}, {"a": []}, ["a"]),
        ({"a": {"b": 1}}, {"a": {}}, []),
        ({"a": "text"}, {"a": {}}, ["a"]),
        ({"args": ["x", "y"]}, {"args": ["x", "y"]}, []),
        ({"args": ["y", "x"]}, {"args": ["x", "y"]}, ["args[0]", "args[1]"]),
        ({"args": ["x", "y"]}, {"args": ["x"]}, ["args"]),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}, ["env[A].value"]),
        ({"env": [{"name": "B"}, {"name": "A"}]}, {"env": [{"name": "A"}, {"name": "B"}]}, []),
        ({"env": [{"name": "A"}]}, {"env": [{"name": "A"}, {"name": "B"}]}, ["env[B]"]),
        ({"env": [{"name": "A"}, {"name": "B"}]}, {"env": [{"name": "A"}]}, ["env[B]"]),
        ({"env": [{"name": "A"}, {"name": "A"}]}, {"env": [{"name": "A"}]}, ["env"]),
        ({"ports": [{"port": 80, "protocol": "TCP", "nodePort": 3}]}, {"ports": [{"port": 80}]}, []),
        ({"ports": [{"port": 80, "protocol": "UDP"}]}, {"ports": [{"port": 80}]}, ["ports[80,TCP]", "ports[80,UDP]"]),
        ({"volumes": "none"}, {"volumes": [{"name": "a"}]}, ["volumes[a]"]),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1000m"}}, ["limits.cpu"]),  # builders send canonical ones
        ({"ownerReferences": [OWNER, OTHER]}, {"ownerReferences": [OWNER]}, []),
        ({"ownerReferences": [OTHER]}, {"ownerReferences": []}, ["ownerReferences[u2]"]),
        ({"ownerReferences": [OTHER]}, {"ownerReferences": [OWNER]}, ["ownerReferences[u1]"]),
    ],
)
def test_differences(observed, intent, differing):
    assert paths(observed, intent) == differing
    assert covers(observed, intent) is not bool(differing)


@pytest.mark.parametrize(
    ("observed", "intent", "foreign"),
    [
        ({"env": [{"name": "A"}, {"name": "MINE"}]}, {"env": [{"name": "A"}]}, True),
        ({"env": [{"name": "A", "value": "other"}]}, {"env": [{"name": "A", "value": "1"}]}, False),
        ({"env": [{"name": "A"}, {"name": "A"}]}, {"env": [{"name": "A"}]}, True),
        ({"containers": [{"name": "api"}, {"name": "sidecar"}]}, {"containers": [{"name": "api"}]}, True),
        ({"ports": [{"port": 80}, {"port": 99}]}, {"ports": [{"port": 80}]}, True),
        ({"tolerations": [{"key": "a"}]}, {"replicas": 1}, False),  # a list that is not ours at all
        ({"metadata": {"annotations": {"x": "y"}}}, {"metadata": {"annotations": {}}}, False),
        ({"ownerReferences": [OWNER, OTHER]}, {"ownerReferences": [OWNER]}, False),
        ({"ownerReferences": [OTHER]}, {"ownerReferences": []}, True),
    ],
)
def test_foreign_entries_are_those_of_lists_that_are_wholly_ours(observed, intent, foreign):
    assert has_foreign(observed, intent) is foreign


@pytest.mark.parametrize(
    ("observed", "intent", "merged"),
    [
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 2}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"args": ["x"]}, {"args": ["y", "z"]}, {"args": ["y", "z"]}),
        (
            {"env": [{"name": "MINE"}, {"name": "A", "value": "1", "extra": 1}]},
            {"env": [{"name": "A", "value": "2"}, {"name": "B"}]},
            {"env": [{"name": "A", "value": "2", "extra": 1}, {"name": "B"}]},
        ),
        ({"env": [{"name": "A"}, {"name": "A"}]}, {"env": [{"name": "A"}]}, {"env": [{"name": "A"}]}),
        ({"metadata": {"finalizers": ["x"]}}, {"metadata": {"labels": {"a": "b"}}},
         {"metadata": {"finalizers": ["x"], "labels": {"a": "b"}}}),
        ({"ownerReferences": [OTHER]}, {"ownerReferences": []}, {"ownerReferences": []}),
        ({"ownerReferences": [OTHER]}, {"ownerReferences": [OWNER]}, {"ownerReferences": [OWNER, OTHER]}),
    ],
)  # fmt: skip
def test_overlay(observed, intent, merged):
    before = copy.deepcopy(observed)
    assert overlay(observed, intent) == merged
    assert observed == before
    assert covers(merged, intent)
    assert not has_foreign(merged, intent)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)
entries = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("ABC")}, optional={"value": st.sampled_from("12")}),
    max_size=3,
    unique_by=lambda entry: entry["name"],
)
objects = st.fixed_dictionaries({}, optional={"spec": json_values, "env": entries, "ports": st.just([{"port": 80}])})


@given(objects, objects)
def test_an_overlay_covers_its_intent_and_is_done_once(observed, intent):
    merged = overlay(observed, intent)
    assert covers(merged, intent)
    assert overlay(merged, intent) == merged


@given(objects)
def test_an_object_covers_itself(value):
    assert covers(value, value)
    assert not has_foreign(value, value)


def manifest(**meta):
    return {"kind": "Service", "metadata": {"name": "a", "namespace": "team", **meta}, "spec": {"x": 1, "y": 2}}


def test_a_stamp_names_owner_and_hash_and_leaves_the_manifest_alone():
    plain = manifest(annotations={"a": "b"})
    before = copy.deepcopy(plain)
    stamped = stamp(plain, OWNER)
    assert plain == before
    assert stamped["metadata"]["ownerReferences"] == [OWNER]
    assert stamped["metadata"]["annotations"] == {"a": "b", "aiapp.dev/intent": intent_of(stamped)}
    assert len(intent_of(stamped)) == 32
    assert intent_of(plain) == ""


def test_a_stamp_keeps_owners_that_are_given():
    assert stamp(manifest(ownerReferences=[]), OWNER)["metadata"]["ownerReferences"] == []
    assert "ownerReferences" not in stamp(manifest(), None)["metadata"]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"kind": "Service", "spec": {"y": 2, "x": 1}, "metadata": {"namespace": "team", "name": "a"}}, True),
        ({**manifest(), "spec": {"x": 1}}, False),  # a field that is gone is another intent: it has to be taken away
        ({**manifest(), "spec": {"x": 1, "y": 3}}, False),
        (manifest(annotations={}), False),
        (manifest(labels={"a": "b"}), False),
    ],
)
def test_the_hash_is_of_the_content(other, same):
    assert (intent_of(stamp(other, OWNER)) == intent_of(stamp(manifest(), OWNER))) is same


def test_another_owner_is_another_intent():
    assert intent_of(stamp(manifest(), OWNER)) != intent_of(stamp(manifest(), {**OWNER, **OTHER}))


def test_intents_of_all_children_cover_themselves_and_notice_each_lost_field():
    app = make_app(inference=[LLAMA], workers=[{"name": "emb", "queues": ["embeddings"]}])
    plan, _ = settled(app)
    for planned in plan.apply:
        intent = stamp(planned, owner_reference(app))
        assert covers(intent, intent)
        for path in leaves(intent):
            assert not covers(without(intent, path), intent), path


def leaves(value, path=()):
    """Paths of everything in `value` that is neither empty nor a container."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for key, child in items for leaf in leaves(child, (*path, key))]
    return found or ([path] if value not in ({}, []) else [])


def without(value, path):
    result = copy.deepcopy(value)
    parent = result
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    return result
