"""Durations of the API: text like "30s", "1m30s" or "250ms"."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+)(ms|s|m|h)")


def seconds(text: str) -> float:
    """`text` in seconds.

    Raises:
        ValueError: `text` is not a duration.
    """
    if _PART.sub("", text) or not text:
        raise ValueError(f"not a duration: {text[:40]!r}")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
