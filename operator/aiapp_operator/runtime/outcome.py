"""How a reconcile ended, and so when the AIApp is looked at again."""

from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """The kinds of outcome; the label of the metric."""

    DONE = "done"
    AFTER = "after"
    STALLED = "stalled"
    RETRY = "retry"


@dataclass(frozen=True)
class Outcome:
    """`seconds` is set for AFTER only."""

    ending: Ending
    seconds: float = 0.0


DONE = Outcome(Ending.DONE)
STALLED = Outcome(Ending.STALLED)
RETRY = Outcome(Ending.RETRY)


def after(seconds: float) -> Outcome:
    """Look again after this many seconds."""
    return Outcome(Ending.AFTER, seconds)
