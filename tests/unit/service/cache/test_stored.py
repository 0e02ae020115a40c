"""What lies in a store comes back as it was, or not at all."""

import time

from hypothesis import given
from hypothesis import strategies as st

from aiapp_service.cache.stored import MOST_BYTES, Stored
from aiapp_service.llm.usage import Usage

COUNT = st.integers(0, 2**63)
USAGE = st.none() | st.builds(Usage, COUNT, COUNT, COUNT, COUNT)
BODY = st.binary(max_size=100) | st.binary(min_size=1, max_size=20).map(lambda piece: piece * 500)


@given(st.builds(Stored, BODY, USAGE, st.floats(0, 1e10)))
def test_round_trip(stored) -> None:
    assert Stored.unpacked(stored.packed()) == stored


@given(st.builds(Stored, BODY, USAGE, st.floats(0, 1e10)), st.data())
def test_what_is_broken_is_none_and_raises_nothing(stored, data) -> None:
    packed = stored.packed()
    assert Stored.unpacked(b"\x09" + packed[1:]) is None
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    found = Stored.unpacked(cut)
    assert found is None or len(stored.body) < 1024, "a short body has no check sum"


def test_long_answers_are_compressed_and_bombs_are_not_inflated() -> None:
    packed = Stored(b"a" * MOST_BYTES, None, 1.0).packed()
    assert len(packed) < MOST_BYTES // 50
    assert Stored.unpacked(packed) is not None
    assert Stored.unpacked(Stored(b"a" * (MOST_BYTES + 1), None, 1.0).packed()) is None


def test_age_is_of_full_seconds_and_never_negative() -> None:
    assert Stored(b"", None, time.time() - 61.5).age == 61
    assert Stored(b"", None, time.time() + 100).age == 0
