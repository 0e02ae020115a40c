"""The order in which backends are tried, by strategy."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from aiapp_service.config import PriceConfig, Strategy
from aiapp_service.llm.load import HALF_LIFE_SECONDS, Load
from aiapp_service.llm.strategies import Wanted, ordered

ANY = Wanted()


@dataclass
class One:
    name: str
    weight: int = 1
    price: PriceConfig | None = None
    in_flight: int = 0
    seconds: float | None = None

    def expected(self, now, *, streamed):
        return self.seconds if streamed else None


def price(put_in, put_out):
    return PriceConfig(input_per_1m=put_in, output_per_1m=put_out)


def order(strategy, candidates, wanted=ANY, seed=1):
    return [one.name for one in ordered(strategy, candidates, wanted, random.Random(seed), 0.0)]


def firsts(strategy, candidates, wanted=ANY, times=2000):
    rng = random.Random(7)
    return Counter(ordered(strategy, candidates, wanted, rng, 0.0)[0].name for _ in range(times))


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_backend_comes_once(strategy, count):
    candidates = [One(f"b{n}", weight=n % 3, in_flight=n, seconds=n or None) for n in range(count)]
    for seed in range(20):
        assert sorted(order(strategy, candidates, Wanted(streamed=True), seed)) == [f"b{n}" for n in range(count)]


def test_priority_is_the_order_given():
    assert order(Strategy.PRIORITY, [One("c"), One("a"), One("b")]) == ["c", "a", "b"]


def test_weighted_by_share():
    found = firsts(Strategy.WEIGHTED, [One("none", weight=0), One("one", weight=1), One("three", weight=3)])
    assert found["none"] == 0
    assert found["three"] / found["one"] == pytest.approx(3, rel=0.2)


def test_weight_of_nothing_stands_in_only():
    for seed in range(50):
        assert order(Strategy.WEIGHTED, [One("none", weight=0), One("a"), One("b")], seed=seed)[-1] == "none"


def test_least_busy_first_and_equals_share():
    assert order(Strategy.LEAST_BUSY, [One("a", in_flight=3), One("b", in_flight=1), One("c", in_flight=2)]) == [
        "b",
        "c",
        "a",
    ]
    assert firsts(Strategy.LEAST_BUSY, [One("a"), One("b")])["a"] == pytest.approx(1000, rel=0.15)


@pytest.mark.parametrize(
    ("candidates", "wanted", "expected"),
    [
        # 1000 tokens in, 100 out: 3.0 against 2.0 millionths.
        ([One("out", price=price(2, 10)), One("in", price=price(1, 10))], Wanted(False, 1000, 100), ["in", "out"]),
        # A long answer turns it round.
        ([One("a", price=price(1, 10)), One("b", price=price(3, 2))], Wanted(False, 1000, 100), ["a", "b"]),
        ([One("a", price=price(1, 10)), One("b", price=price(3, 2))], Wanted(False, 1000, 4000), ["b", "a"]),
        # What it costs is not known: last, also after the dearest.
        ([One("x"), One("dear", price=price(100, 100)), One("y")], ANY, ["dear", "x", "y"]),
        ([One("paid", price=price(1, 1)), One("free", price=price(0, 0))], ANY, ["free", "paid"]),
    ],
)
def test_cheapest_for_what_is_asked(candidates, wanted, expected):
    assert order(Strategy.COST, candidates, wanted) == expected


STREAMED = Wanted(streamed=True)


def test_quicker_one_of_two():
    found = firsts(Strategy.LATENCY, [One("slow", seconds=2.0), One("quick", seconds=0.5)], STREAMED)
    assert found == {"quick": 2000}


def test_two_are_drawn_so_that_not_all_run_to_the_best():
    three = [One("best", seconds=0.1), One("good", seconds=0.2), One("bad", seconds=9.0)]
    found = firsts(Strategy.LATENCY, three, STREAMED)
    assert found["bad"] == 0
    assert found["good"] == pytest.approx(2000 / 3, rel=0.15)


def test_queue_counts():
    busy = [One("quick", seconds=0.5, in_flight=9), One("slow", seconds=2.0)]
    assert order(Strategy.LATENCY, busy, STREAMED) == ["slow", "quick"]


def test_new_one_gets_a_chance_but_no_crowd():
    assert order(Strategy.LATENCY, [One("known", seconds=0.5), One("new")], STREAMED) == ["new", "known"]
    crowd = [One("known", seconds=0.5), One("new", in_flight=1)]
    assert order(Strategy.LATENCY, crowd, STREAMED) == ["known", "new"]


def test_latency_is_a_mean_that_fades():
    load = Load()
    assert load.expected(0.0, streamed=True) is None
    for now in range(50):
        load.took(4.0, float(now), streamed=True)
    assert load.expected(49.0, streamed=True) == pytest.approx(4.0)
    assert load.expected(49.0 + HALF_LIFE_SECONDS, streamed=True) == pytest.approx(2.0)
    assert load.expected(49.0, streamed=False) is None
    load.took(1.0, 50.0, streamed=True)
    assert 1.0 < (load.expected(50.0, streamed=True) or 0.0) < 4.0


def test_requests_under_way_are_counted_whatever_comes_of_them():
    load = Load()

    def fails():
        with load, load:
            assert load.in_flight == 2
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fails()
    assert load.in_flight == 0
