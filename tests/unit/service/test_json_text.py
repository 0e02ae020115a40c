"""JSON that is made to cost more than it weighs."""

import json

import pytest

from aiapp_service.http.json_text import MOST_DEPTH, MOST_VALUES, parse


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"[" * 1_000_000, "more than"),
        (b"[" * 100_000, "nested deeper"),
        (b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1), "nested deeper"),
        (b'{"a":' * (MOST_DEPTH + 1) + b"1" + b"}" * (MOST_DEPTH + 1), "nested deeper"),
        (b"[[1,2]," + b"[" * MOST_DEPTH + b"]" * MOST_DEPTH + b"]", "nested deeper"),
        (b"[" + b"[]," * MOST_VALUES + b"[]]", "more than"),
        (b"[" + b"1," * MOST_VALUES + b"1]", "more than"),
        (b"9" * 5_000, "too large"),
        (b"9" * 5_000_000, "too large"),
        (b"0." + b"9" * 5_000_000, "too large"),
        (b"1e999", "too large"),
        (b"-1E+400", "too large"),
        (b"NaN", "not a number"),
        (b"-Infinity", "not a number"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\uDFFF": 1}', "surrogate"),
        (b'"\xed\xa0\x80"', "utf-8"),
        ('{"a": 1}'.encode("utf-16"), "utf-8"),
        (b"", "Expecting"),
    ],
    ids=range(19),
)
def test_refused(raw, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse(raw)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2.5, 1e308, None, True, "[[[{{{,,,"]},
        "\U0001f600",
        "\\ud800",
        ["[" * 1000],
        [[[]] * 10] * 50,
        10**300,
    ],
    ids=range(6),
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_taken_as_it_is(value, ascii_only):
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def test_depth_that_is_allowed():
    value = parse(b"[" * MOST_DEPTH + b"]" * MOST_DEPTH)
    for _ in range(MOST_DEPTH - 1):
        value = value[0]
    assert value == []
