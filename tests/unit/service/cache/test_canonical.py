"""Which requests are the same."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiapp_service.cache.canonical import NOT_SHAPING, canonical, digest, fingerprints, shaping
from aiapp_service.config import BackendConfig, InferenceConfig, ModelConfig, PriceConfig, ServiceConfig

TEXT = st.text(max_size=8)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
OBJECT = st.dictionaries(TEXT, VALUE, max_size=3)


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same with its keys in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def identity(value: Any) -> Any:
    """What JSON tells apart: 1, 1.0 and true are equal in Python only."""
    if isinstance(value, dict):
        return "object", frozenset((key, identity(item)) for key, item in value.items())
    if isinstance(value, list):
        return "list", tuple(identity(item) for item in value)
    return type(value).__name__, repr(value)


@given(OBJECT, st.randoms(use_true_random=False), st.sampled_from([None, 1, "\t"]))
def test_order_of_keys_and_white_space_do_not_count(body, rng, indent) -> None:
    received = json.loads(json.dumps(shuffled(body, rng), indent=indent, ensure_ascii=rng.random() < 0.5))
    assert canonical(received) == canonical(body)


@given(OBJECT, OBJECT)
def test_everything_else_counts(one, other) -> None:
    assert (canonical(one) == canonical(other)) == (identity(one) == identity(other))


@given(OBJECT, st.sampled_from(sorted(NOT_SHAPING)), VALUE)
def test_what_does_not_shape_the_answer_does_not_count(body, name, value) -> None:
    assert canonical(shaping({**body, name: value})) == canonical(shaping({k: v for k, v in body.items() if k != name}))


@given(OBJECT, st.text(min_size=1, max_size=8).filter(lambda name: name not in NOT_SHAPING), VALUE)
def test_each_other_field_counts(body, name, value) -> None:
    without = {key: item for key, item in body.items() if key != name}
    assert canonical(shaping({**without, name: value})) != canonical(shaping(without))


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_digest_knows_where_its_parts_end(one, other) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


def test_halves_of_surrogate_pairs_are_told_apart() -> None:
    one, other = json.loads('"\\ud800"'), json.loads('"\\ud801"')
    assert canonical(one) != canonical(other)
    assert digest(one) != digest(other)


def configured(
    *backends: BackendConfig, url: str = "http://a/v1", other_url: str = "http://b/v1", name: str = "chat"
) -> bytes:
    inference = (InferenceConfig(name="a", base_url=url), InferenceConfig(name="b", base_url=other_url))
    model = ModelConfig(name=name, backends=backends)
    return fingerprints(ServiceConfig(inference=inference, models=(model,)))[name]


A = BackendConfig(inference="a", model="m")
B = BackendConfig(inference="b", model="m")


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (configured(A, B), True),
        (configured(B, A), True),
        (configured(A.model_copy(update={"weight": 7}), B), True),
        (configured(A.model_copy(update={"price": PriceConfig(input_per_1m="1")}), B), True),
        (configured(A), False),
        (configured(A, B, url="http://c/v1"), False),
        (configured(A.model_copy(update={"model": "n"}), B), False),
    ],
    ids=["the same", "order", "weight", "price", "fewer", "another server", "another model"],
)
def test_fingerprint_is_of_what_may_answer(changed, same) -> None:
    assert (configured(A, B) == changed) is same
