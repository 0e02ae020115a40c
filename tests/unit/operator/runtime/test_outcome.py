"""How a reconcile ends, by what failed."""

import pytest

from aiapp_operator.errors import Retry, Stalled, Waiting
from aiapp_operator.runtime.outcome import DONE, RETRY, STALLED_SECONDS, Ending, Outcome, gravest, outcome_of

STALL, FAULT = Stalled("NameConflict", "taken"), Retry("Trouble", "500")
SOON, LATE = Waiting("BeingDeleted", "soon", seconds=2.0), Waiting("QuotaExceeded", "late", seconds=30.0)


@pytest.mark.parametrize(
    ("failures", "outcome", "reported"),
    [
        ([], DONE, None),
        ([FAULT], RETRY, FAULT),
        ([LATE], Outcome(Ending.AFTER, 30.0), LATE),
        ([LATE, SOON], Outcome(Ending.AFTER, 2.0), LATE),
        ([STALL], Outcome(Ending.STALLED, STALLED_SECONDS), STALL),
        ([STALL, SOON], Outcome(Ending.AFTER, 2.0), STALL),
        ([SOON, STALL], Outcome(Ending.AFTER, 2.0), STALL),
        ([STALL, FAULT], RETRY, STALL),
        ([SOON, FAULT], RETRY, FAULT),
        ([FAULT, STALL, SOON, LATE], RETRY, STALL),
    ],
)
def test_the_soonest_look_and_the_gravest_words(failures, outcome, reported):
    assert outcome_of(failures) == outcome
    assert gravest(failures) is reported
