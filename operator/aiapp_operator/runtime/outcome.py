"""How a reconcile ended, and so when the AIApp is looked at again."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiapp_operator.errors import ReconcileError, Retry, Stalled, Waiting

# What only the user can mend may lie in objects that are not watched: a name that is taken, a quota, a policy.
STALLED_SECONDS = 60.0


class Ending(StrEnum):
    """The kinds of outcome; the label of the metric."""

    DONE = "done"
    AFTER = "after"
    STALLED = "stalled"
    RETRY = "retry"


@dataclass(frozen=True)
class Outcome:
    """`seconds` until the AIApp is looked at again whatever happens; 0: when something changes. RETRY backs off."""

    ending: Ending
    seconds: float = 0.0


DONE = Outcome(Ending.DONE)
STALLED = Outcome(Ending.STALLED)
RETRY = Outcome(Ending.RETRY)


def gravest(failures: Sequence[ReconcileError]) -> ReconcileError | None:
    """The failure to report: what the user has to mend goes before what passes."""
    order = (Stalled, Retry, Waiting)
    return next((failure for kind in order for failure in failures if isinstance(failure, kind)), None)


def outcome_of(failures: Sequence[ReconcileError]) -> Outcome:
    """The outcome that looks again the soonest."""
    if any(isinstance(failure, Retry) for failure in failures):
        return RETRY
    waits = [failure.seconds for failure in failures if isinstance(failure, Waiting)]
    if waits:
        return Outcome(Ending.AFTER, min(waits))
    return Outcome(Ending.STALLED, STALLED_SECONDS) if failures else DONE
