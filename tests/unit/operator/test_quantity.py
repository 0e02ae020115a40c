from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiapp_operator.api import quantity

# The right side is what k8s.io/apimachinery's resource.Quantity gives back unchanged, and means the same.
CANONICAL = [
    ("0", "0"),
    ("0Gi", "0"),
    ("0.5", "500m"),
    (".5", "500m"),
    ("1.", "1"),
    ("+1", "1"),
    ("1000m", "1"),
    ("1500m", "1500m"),
    ("100m", "100m"),
    ("0.1n", "1n"),
    ("1u", "1u"),
    ("1000", "1k"),
    ("1024", "1024"),
    ("1000000", "1M"),
    ("1234567", "1234567"),
    ("1024Mi", "1Gi"),
    ("1536Mi", "1536Mi"),
    ("1.5Gi", "1536Mi"),
    ("0.5Mi", "512Ki"),
    ("0.5Ki", "512"),
    ("1Ki", "1Ki"),
    ("0.001Ki", "1024m"),
    ("1000Ki", "1000Ki"),
    ("51200Mi", "50Gi"),
    ("1e3", "1e3"),
    ("1E3", "1e3"),
    ("12e2", "1200"),
    ("1e1", "10"),
    ("10e6", "10e6"),
    ("5E", "5E"),
    ("-1.5", "-1500m"),
]


@pytest.mark.parametrize(("given_text", "expected"), CANONICAL)
def test_canonical_form_is_one_that_the_api_server_keeps(given_text, expected):
    assert quantity.canonical(given_text) == expected


@pytest.mark.parametrize("text", ["", "x", "1K", "1 Gi", "1e99", "--1", "1Gi "])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match=r"not a quantity|exponent too large"):
        quantity.canonical(text)


numbers = st.integers(0, 10**7).map(str) | st.decimals(0, 10**6, places=3).map(lambda d: format(d, "f"))
suffixes = st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti"])


@given(numbers, suffixes)
def test_canonical_is_stable_and_keeps_the_value(number, suffix):
    text = number + suffix
    printed = quantity.canonical(text)
    assert quantity.canonical(printed) == printed
    assert abs(quantity.parse(printed) - quantity.parse(text)) < Fraction(1, 10**9)
    assert quantity.parse(printed) >= quantity.parse(text)
