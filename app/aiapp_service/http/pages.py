"""Lists of the OpenAI API: what part of one a request asks for, and how a part is told."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiapp_service.http.errors import bad_request

USUAL = 20
MOST = 100


def number(text: str, name: str, bounds: tuple[int, int]) -> int:
    """A number of the request.

    Raises:
        ApiError: it is none, or out of bounds.
    """
    least, most = bounds
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most):
        raise bad_request(f"{name} has to be a number from {least} to {most}", name)
    return int(text)


def limit_of(query: Mapping[str, str], usual: int = USUAL, most: int = MOST) -> int:
    """How many entries at most.

    Raises:
        ApiError: `limit` is no number that may be asked for.
    """
    return number(query.get("limit", str(usual)), "limit", (1, most))


def is_newest_first(query: Mapping[str, str]) -> bool:
    """In which order.

    Raises:
        ApiError: `order` is neither of the two.
    """
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise bad_request("order has to be asc or desc", "order")
    return order == "desc"


def page(found: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """The first `limit` of what was found, of which there is one more where there are more."""
    data = found[:limit]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": list(data), **ends, "has_more": len(found) > limit}
