"""Randomness that is replayed by its seed, and how many seeds are run."""

import os
import random

DEFAULT_SEEDS = 40


def seeded(seed: int) -> random.Random:
    """A source of random numbers that gives the same ones for the same seed."""
    return random.Random(seed)


def seeds(share: float = 1.0) -> range:
    """The seeds to run; AIAPP_SEEDS says how many, of which this is a share."""
    return range(max(1, round(share * int(os.environ.get("AIAPP_SEEDS", DEFAULT_SEEDS)))))
