"""In which order the backends of a model are tried.

Each strategy orders all of them: whoever comes first is asked, the others stand in. Whether one rests is not looked
at here. What a process knows of load and latency is its own: other replicas of the API may see other figures.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from aiapp_service.config import PriceConfig, Strategy

# Of a model that says nothing about the length of its answer.
_USUAL_OUTPUT = 500


class Candidate(Protocol):
    """What strategies look at."""

    @property
    def weight(self) -> int:
        """Share of requests, relative to the others."""

    @property
    def price(self) -> PriceConfig | None:
        """None: not known."""

    @property
    def in_flight(self) -> int:
        """Requests under way."""

    def expected(self, now: float, *, streamed: bool) -> float | None:
        """Seconds an answer takes; None where none was seen."""


@dataclass(frozen=True)
class Wanted:
    """What a request is like. Tokens are estimates; 0: not known."""

    streamed: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


C = TypeVar("C", bound=Candidate)


def ordered(strategy: Strategy, candidates: Sequence[C], wanted: Wanted, rng: random.Random, now: float) -> Sequence[C]:
    """`candidates` from the first to the last one to try; `now` in monotonic seconds."""
    if len(candidates) < 2 or strategy is Strategy.PRIORITY:
        return candidates
    if strategy is Strategy.WEIGHTED:
        return _weighted(candidates, rng)
    if strategy is Strategy.LEAST_BUSY:
        return sorted(candidates, key=lambda one: (one.in_flight, rng.random()))
    if strategy is Strategy.LATENCY:
        return _quickest(candidates, wanted, rng, now)
    return sorted(candidates, key=lambda one: _cost(one.price, wanted))


def _weighted(candidates: Sequence[C], rng: random.Random) -> Sequence[C]:
    """Drawn one after the other, each by its share of what is left (Efraimidis and Spirakis); weight 0 stands in only.

    https://en.wikipedia.org/wiki/Reservoir_sampling#Algorithm_A-Res
    """
    return sorted(candidates, key=lambda one: rng.random() ** (1 / one.weight) if one.weight else -1.0, reverse=True)


def _quickest(candidates: Sequence[C], wanted: Wanted, rng: random.Random, now: float) -> Sequence[C]:
    """The better one of two drawn at random, then the rest by what is expected of them.

    Always asking the best would send everything to whoever looked best a moment ago.
    """
    known = [one.expected(now, streamed=wanted.streamed) for one in candidates]
    seen = [seconds for seconds in known if seconds is not None]
    usual = sum(seen) / len(seen) if seen else 0.0

    def score(number: int) -> tuple[float, float]:
        seconds, waiting = known[number], candidates[number].in_flight
        if seconds is None:
            # A new one gets a first request at once, and no crowd before that one is answered.
            return (usual * (waiting + 1), waiting) if waiting else (-1.0, 0.0)
        return seconds * (waiting + 1), waiting

    scores = [score(number) for number in range(len(candidates))]
    one, other = _two(len(candidates), rng)
    first = one if scores[one] <= scores[other] else other
    rest = sorted((number for number in range(len(candidates)) if number != first), key=scores.__getitem__)
    return [candidates[number] for number in (first, *rest)]


def _two(count: int, rng: random.Random) -> tuple[int, int]:
    """Two different numbers below `count`; `sample` takes several times as long."""
    one, other = int(rng.random() * count), int(rng.random() * (count - 1))
    return one, other + (other >= one)


def _cost(price: PriceConfig | None, wanted: Wanted) -> tuple[bool, Decimal]:
    if price is None:
        return True, Decimal(0)
    output = wanted.output_tokens or _USUAL_OUTPUT
    return False, price.input_per_1m * max(wanted.input_tokens, 1) + price.output_per_1m * output
