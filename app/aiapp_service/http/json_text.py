"""JSON of strangers -> values, at a cost that its size bounds.

What Python would make of some short texts is large, slow to walk, or cannot be written again: a million empty lists
take a hundred megabytes, a thousand lists inside each other break every recursion behind, 1e999 becomes infinity.
"""

import json
import math
import re
from typing import Any

import msgspec

MOST_DEPTH = 128
MOST_VALUES = 500_000
_MOST_DIGITS = 400  # more than any double has
_USUAL_BYTES = 1024 * 1024
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or one that is not taken; the message quotes nothing of it.
    """
    opened = raw.count(b"[") + raw.count(b"{")
    # Those inside of texts are counted as well: this is cheap, and a bound.
    if opened + raw.count(b",") > MOST_VALUES:
        raise ValueError(f"it has more than {MOST_VALUES} values")
    value = _quickly(raw) if len(raw) <= _USUAL_BYTES else _slowly(raw)
    if opened > MOST_DEPTH:
        _check_depth(value)
    return value


def _quickly(raw: bytes) -> Any:
    """By a decoder that takes nothing which the other one would not, but for numbers with very many digits."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return _slowly(raw)


def _slowly(raw: bytes) -> Any:
    """With words for what is wrong."""
    try:
        # Only UTF-8 is JSON (RFC 8259, 8.1); the decoder of `json` takes more.
        value = _DECODER.decode(raw.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels") from None
    except ValueError as error:
        if "int_max_str_digits" in str(error):
            raise ValueError("a number is too large") from None
        raise
    if _SURROGATE.search(raw) is not None:
        _check_text(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels")


def _check_text(value: Any) -> None:
    """Pairs of surrogates are one character; one alone cannot be sent on."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it has half of a surrogate pair in a text") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON knows")


def _finite(text: str) -> float:
    number = float(text) if len(text) <= _MOST_DIGITS else math.inf
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
