"""Kubernetes quantities: reading, comparing, and one text form for each value.

The rules are those of k8s.io/apimachinery `resource.Quantity`: binary suffixes keep powers of 1024
where the value is a whole number of at least 1024, everything else is a decimal with an exponent
that is a multiple of three. The API server keeps this form as it is, so that an intent equals what is
read back. (Some unusual spellings, like "1E3", it would keep too; those are never sent.)
"""

import re
from fractions import Fraction
from functools import lru_cache

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BY_POWER = {power: suffix for suffix, power in _BINARY.items()}
_BY_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_PARTS = re.compile(r"^([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?|[eE][+-]?[0-9]+)$")
_NANO = Fraction(1, 10**9)


def parse(text: str) -> Fraction:
    """The exact value of a quantity.

    Raises:
        ValueError: `text` is not a quantity.
    """
    return _split(text)[0]


@lru_cache(maxsize=4096)  # the same few defaults again and again
def canonical(text: str) -> str:
    """`text` in the form that the API server leaves as it is: "0.5" is "500m", "1024Mi" is "1Gi".

    Raises:
        ValueError: `text` is not a quantity.
    """
    value, style = _split(text)
    if value == 0:
        return "0"
    # What is finer than a billionth is rounded away from zero.
    if value % _NANO:
        nanos = -((-abs(value)) // _NANO)
        value = nanos * _NANO if value > 0 else -nanos * _NANO
    if style == "binary" and abs(value) >= 1024 and value.denominator == 1:
        return _binary(value.numerator)
    return _decimal(value, exponent_form=style == "exponent")


def binary(value: int) -> str:
    """A number of bytes as the API server would print it when given with a binary suffix."""
    return _binary(value) if abs(value) >= 1024 else str(value)


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[Fraction, str]:
    match = _PARTS.match(text)
    if match is None:
        raise ValueError(f"not a quantity: {text[:40]!r}")
    sign, digits, suffix = match.groups()
    number = Fraction(digits if not digits.endswith(".") else digits[:-1])
    number = -number if sign == "-" else number
    if suffix in _BINARY:
        return number * 1024 ** _BINARY[suffix], "binary"
    if suffix in _DECIMAL:
        return number * Fraction(10) ** _DECIMAL[suffix], "decimal"
    exponent = int(suffix[1:])
    if abs(exponent) > 18:
        raise ValueError(f"exponent too large: {text[:40]!r}")
    return number * Fraction(10) ** exponent, "exponent"


def _binary(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < 6:
        value //= 1024
        power += 1
    return f"{value}{_BY_POWER.get(power, '')}"


def _decimal(value: Fraction, *, exponent_form: bool) -> str:
    amount, exponent = (value * 10**9).numerator, -9
    while amount % 1000 == 0 and exponent < 18:
        amount //= 1000
        exponent += 3
    if exponent_form and exponent != 0:
        return f"{amount}e{exponent}"
    return f"{amount}{_BY_EXPONENT[exponent]}"


def readable(size: int) -> str:
    """A number of bytes for people: 1.5 GiB."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
