"""OpenAI's grammar of filters on attributes: comparisons, and `and` and `or` of them.

    {"type": "eq", "key": "year", "value": 2024}          eq ne gt gte lt lte in nin
    {"type": "and", "filters": [...]}                     and or

A file without the attribute fulfils `ne` and `nin`, and nothing else. Order is one of numbers.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiapp_service.http.errors import bad_request

MOST_COMPARISONS = 100
MOST_DEPTH = 8
MOST_LISTED = 100

Plain = str | int | float | bool


class Operator(StrEnum):
    """How an attribute is compared."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NIN = "nin"

    @property
    def orders(self) -> bool:
        """Whether it is about more and less."""
        return self in (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE)

    @property
    def listed(self) -> bool:
        """Whether it takes a list of values."""
        return self in (Operator.IN, Operator.NIN)


@dataclass(frozen=True)
class Comparison:
    """One attribute compared with `values`, which are one but for `in` and `nin`."""

    operator: Operator
    key: str
    values: tuple[Plain, ...]


@dataclass(frozen=True)
class Compound:
    """All of `parts`, or any."""

    all: bool
    parts: tuple["Filter", ...]


Filter = Comparison | Compound


def parse(given: Any, field: str = "filters") -> Filter | None:
    """The filter of a request; None where there is none.

    Raises:
        ApiError: names the part that is wrong.
    """
    return None if given is None else _Parser().parse(given, field, 1)


class _Parser:
    def __init__(self) -> None:
        self._left = MOST_COMPARISONS

    def parse(self, given: Any, place: str, depth: int) -> Filter:
        if not isinstance(given, dict):
            raise bad_request(f"{place} has to be an object", place)
        if depth > MOST_DEPTH:
            raise bad_request(f"{place}: filters go {MOST_DEPTH} levels deep at most", place)
        kind = given.get("type")
        if kind in ("and", "or"):
            parts = given.get("filters")
            if not isinstance(parts, list) or not parts:
                raise bad_request(f"{place}.filters has to be a list that is not empty", f"{place}.filters")
            found = (self.parse(part, f"{place}.filters[{n}]", depth + 1) for n, part in enumerate(parts))
            return Compound(kind == "and", tuple(found))
        if kind not in set(Operator):
            known = ", ".join((*Operator, "and", "or"))
            raise bad_request(f"{place}.type has to be one of {known}", f"{place}.type")
        self._left -= 1
        if self._left < 0:
            raise bad_request(f"{place}: {MOST_COMPARISONS} comparisons are the most", place)
        return self._comparison(Operator(kind), given, place)

    def _comparison(self, operator: Operator, given: dict[str, Any], place: str) -> Comparison:
        key, value = given.get("key"), given.get("value")
        if not isinstance(key, str) or not key or "\x00" in key:
            raise bad_request(f"{place}.key is required, and has to be the name of an attribute", f"{place}.key")
        if operator.listed:
            if not isinstance(value, list) or not value or len(value) > MOST_LISTED:
                what = f"a list of 1 to {MOST_LISTED} values"
                raise bad_request(f"{place}.value has to be {what} for {operator}", f"{place}.value")
            return Comparison(operator, key, tuple(self._plain(one, operator, place) for one in value))
        return Comparison(operator, key, (self._plain(value, operator, place),))

    def _plain(self, value: Any, operator: Operator, place: str) -> Plain:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and not math.isfinite(value):
            number = False
        elif operator.orders and not number:
            raise bad_request(f"{place}.value has to be a number for {operator}", f"{place}.value")
        if not (number or isinstance(value, bool) or (isinstance(value, str) and "\x00" not in value)):
            raise bad_request(f"{place}.value has to be a string, a number or a boolean", f"{place}.value")
        found: Plain = value
        return found
