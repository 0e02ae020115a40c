"""The circuit breaker of a backend, under a clock of the test's own."""

import pytest

from aiapp_service.llm.standing import MOST_RETRY_AFTER, Standing, Turn
from aiapp_service.llm.upstream import BackendError, Reason


def failure(reason=Reason.SERVER_ERROR, retry_after=None):
    return BackendError(reason, "does not", retry_after)


def fail(standing, now, reason=Reason.SERVER_ERROR, retry_after=None):
    turn = standing.begin(now)
    standing.failed(turn, failure(reason, retry_after), now)
    standing.over(turn)


def serve(standing, now):
    turn = standing.begin(now)
    standing.answered(turn, now)
    standing.over(turn)


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        (Reason.CONNECT, 1.0),
        (Reason.RATE_LIMITED, 2.0),
        (Reason.OUT_OF_QUOTA, 60.0),
        (Reason.REFUSED_KEY, 60.0),
        (Reason.MODEL_MISSING, 60.0),
    ],
)
def test_rests_at_once(reason, seconds):
    standing = Standing()
    fail(standing, 100.0, reason)
    assert standing.rests(100.0 + seconds - 0.01)
    assert not standing.rests(100.0 + seconds)


@pytest.mark.parametrize("reason", [Reason.SERVER_ERROR, Reason.TIMEOUT, Reason.BROKEN])
def test_rests_after_three_in_a_row(reason):
    standing = Standing()
    fail(standing, 1.0, reason)
    fail(standing, 2.0, reason)
    assert not standing.rests(2.0)
    serve(standing, 3.0)
    fail(standing, 4.0, reason)
    fail(standing, 5.0, reason)
    assert not standing.rests(5.0)
    fail(standing, 6.0, reason)
    assert standing.rests(10.9)
    assert not standing.rests(11.0)


def test_rests_when_half_of_the_last_fail():
    standing = Standing()
    for now in range(4):
        serve(standing, now)
        fail(standing, now)
    assert not standing.rests(4.0), "too few to judge"
    serve(standing, 4.0)
    fail(standing, 4.0)
    assert standing.rests(4.0)


@pytest.mark.parametrize(("reason", "status"), [(Reason.REFUSED_KEY, 403), (Reason.MODEL_MISSING, 404)])
def test_what_one_request_may_have_brought_about_itself(reason, status):
    standing = Standing()
    for now in range(3):
        assert not standing.rests(now)
        standing.failed(standing.begin(now), BackendError(reason, "does not", status=status), now)
    assert standing.resting_until == 2.0 + 60.0


def test_few_failures_among_many_are_borne():
    standing = Standing()
    for now in range(200):
        (fail if now % 4 == 0 else serve)(standing, now)
        assert not standing.rests(now)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("86400", MOST_RETRY_AFTER), ("0", 0.0)])
@pytest.mark.parametrize("reason", [Reason.RATE_LIMITED, Reason.SERVER_ERROR])
def test_retry_after_is_honoured_within_bounds(header, seconds, reason):
    standing = Standing()
    fail(standing, 10.0, reason, header)
    assert standing.resting_until == 10.0 + seconds


def test_one_trial_when_the_rest_is_over():
    standing = Standing()
    fail(standing, 0.0, Reason.CONNECT)
    turn = standing.begin(1.5)
    assert turn.trial
    assert standing.rests(1.5), "others wait for what comes of it"
    assert not standing.begin(1.5).trial
    standing.over(turn)
    assert not standing.rests(1.5), "the client left: somebody else tries"
    serve(standing, 2.0)
    assert (standing.down, standing.resting_until) == (None, None)


def test_rests_get_longer_and_are_bounded():
    standing, now, rests = Standing(), 0.0, []
    for _ in range(8):
        fail(standing, now, Reason.CONNECT)
        rests.append(standing.resting_until - now)
        now = standing.resting_until
    assert rests == [1, 2, 4, 8, 16, 30, 30, 30]
    serve(standing, now)
    fail(standing, now, Reason.CONNECT)
    assert standing.resting_until == now + 1


def test_many_that_fail_together_are_one_outage():
    standing = Standing()
    turns = [standing.begin(0.0) for _ in range(100)]
    for turn in turns:
        standing.failed(turn, failure(Reason.CONNECT), 1.0)
    assert standing.resting_until == 2.0


def test_what_began_before_the_failure_does_not_end_the_rest():
    standing = Standing()
    early = standing.begin(0.0)
    fail(standing, 1.0, Reason.RATE_LIMITED, "30")
    standing.answered(early, 2.0)
    assert standing.rests(20.0)
    serve(standing, 3.0)
    assert not standing.rests(20.0), "asked all the same, it answered"


def test_request_that_is_too_long_is_no_fault():
    standing = Standing()
    for now in range(10):
        fail(standing, now, Reason.CONTEXT_LENGTH)
    assert (standing.down, standing.resting_until) == (None, None)


def test_since_counts_from_the_first_failure():
    standing = Standing()
    fail(standing, 5.0)
    fail(standing, 9.0, Reason.CONNECT)
    assert (standing.down.since, standing.down.last, standing.down.reason) == (5.0, 9.0, Reason.CONNECT)


class TestProbes:
    def test_they_see_what_they_can(self):
        standing = Standing()
        fail(standing, 0.0, Reason.CONNECT)
        standing.reached(0.5)
        assert standing.down is None

    @pytest.mark.parametrize("reason", [Reason.SERVER_ERROR, Reason.REFUSED_KEY, Reason.MODEL_MISSING, Reason.TIMEOUT])
    def test_being_there_does_not_prove_that_it_serves(self, reason):
        standing = Standing()
        fail(standing, 0.0, reason)
        standing.reached(10.0)
        assert standing.down is not None

    def test_key_that_was_replaced(self):
        standing = Standing()
        fail(standing, 0.0, Reason.REFUSED_KEY)
        standing.missed(failure(Reason.REFUSED_KEY), 10.0)
        standing.reached(20.0)
        assert (standing.down, standing.rests(20.0)) == (None, False)

    def test_without_requests_old_failures_are_forgotten(self):
        standing = Standing()
        fail(standing, 0.0)
        standing.reached(59.0)
        assert standing.down is not None
        standing.reached(60.0)
        assert standing.down is None

    def test_while_they_fail_no_request_has_to_find_out(self):
        standing = Standing()
        for now in range(0, 100, 10):
            standing.missed(failure(Reason.CONNECT), now)
        assert standing.rests(110.0)

    def test_request_that_is_served_knows_better(self):
        standing = Standing()
        standing.missed(failure(Reason.REFUSED_KEY), 0.0)
        serve(standing, 1.0)
        standing.missed(failure(Reason.REFUSED_KEY), 10.0)
        assert (standing.down, standing.rests(10.0)) == (None, False)
        standing.missed(failure(Reason.CONNECT), 20.0)
        assert standing.rests(20.0), "another fault is news"

    def test_until_a_request_is_refused_too(self):
        standing = Standing()
        standing.missed(failure(Reason.REFUSED_KEY), 0.0)
        serve(standing, 1.0)
        fail(standing, 2.0, Reason.REFUSED_KEY)
        standing.missed(failure(Reason.REFUSED_KEY), 10.0)
        assert standing.rests(34.0)


@pytest.mark.parametrize(
    ("reason", "at_once", "later"),
    [
        (Reason.CONNECT, True, True),
        (Reason.REFUSED_KEY, True, True),
        (Reason.SERVER_ERROR, False, True),
        (Reason.RATE_LIMITED, False, False),
    ],
)
def test_single_failures_are_not_told(reason, at_once, later):
    standing = Standing()
    fail(standing, 0.0, reason)
    assert (standing.told(0.0) is not None, standing.told(6.0) is not None) == (at_once, later)
    assert standing.told(31.0) is not None


def test_least_bad_of_those_that_rest():
    found = {}
    for reason in (Reason.REFUSED_KEY, Reason.CONNECT, Reason.RATE_LIMITED):
        found[reason] = Standing()
        fail(found[reason], 0.0, reason)
    least = min(found, key=lambda reason: found[reason].hope(0.5))
    assert least is Reason.RATE_LIMITED
    soon = Standing()
    soon.failed(Turn(0.0), failure(Reason.RATE_LIMITED, "1"), 0.0)
    assert soon.hope(0.5) < found[Reason.RATE_LIMITED].hope(0.5)
