"""Requests to /v1/batches: what is wrong is said with the name of the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_service.batches.record import ENDPOINTS, WINDOW
from aiapp_service.http.errors import ApiError, bad_request

_FIELDS = frozenset({"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"})
_MOST_PAIRS = 16
_MOST_NAME = 64
_MOST_VALUE = 512
_EXPIRY_SECONDS = range(3600, 30 * 24 * 3600 + 1)
_MOST_PAGE = 100
_PAGE = 20


@dataclass(frozen=True)
class Asked:
    """A batch that a client wants."""

    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: dict[str, str] | None
    output_seconds: int | None


def asked_for(body: Mapping[str, Any]) -> Asked:
    """What a request asks for.

    Raises:
        ApiError: names the field that is wrong.
    """
    if unknown := sorted(body.keys() - _FIELDS):
        other = unknown[0][:100]
        raise bad_request(f"{other!r} is no parameter; there are {', '.join(sorted(_FIELDS))}", other)
    name = body.get("input_file_id")
    if not isinstance(name, str) or not name:
        raise bad_request("input_file_id is required: upload a file with purpose batch", "input_file_id")
    endpoint = body.get("endpoint")
    if not isinstance(endpoint, str) or endpoint not in ENDPOINTS:
        raise bad_request(f"endpoint has to be one of {', '.join(ENDPOINTS)}", "endpoint")
    if body.get("completion_window") != WINDOW:
        raise bad_request(f"completion_window has to be {WINDOW}", "completion_window")
    return Asked(endpoint, name, WINDOW, metadata_of(body), _output_seconds(body.get("output_expires_after")))


def metadata_of(body: Mapping[str, Any]) -> dict[str, str] | None:
    """Up to 16 pairs of short texts.

    Raises:
        ApiError: it is something else.
    """
    given = body.get("metadata")
    if given is None:
        return None
    fits = isinstance(given, dict) and len(given) <= _MOST_PAIRS
    if not fits or not all(_is_pair(name, value) for name, value in given.items()):
        message = (
            f"metadata has to be an object of at most {_MOST_PAIRS} pairs: names of up to {_MOST_NAME} characters, "
            f"values that are texts of up to {_MOST_VALUE}"
        )
        raise bad_request(message, "metadata")
    return dict(given)


def page_of(query: Mapping[str, str]) -> tuple[str | None, int]:
    """Behind which item, and how many.

    Raises:
        ApiError: `limit` is no number that may be asked for.
    """
    limit = query.get("limit", str(_PAGE))
    if not limit.isdecimal() or not 1 <= int(limit) <= _MOST_PAGE:
        raise bad_request(f"limit has to be a number from 1 to {_MOST_PAGE}", "limit")
    return query.get("after") or None, int(limit)


def listed(documents: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page of a list, of which one more than `limit` was looked up where there are more."""
    page = documents[:limit]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return {"object": "list", "data": page, **ends, "has_more": len(documents) > limit}


def without(thing: str, field: str, what: str) -> ApiError:
    """501: the app lacks something that `what` needs."""
    message = f"{what} need {thing}, which this app does not have: give it with {field}"
    return ApiError(501, message, type_="server_error", code="not_configured")


def not_now(what: str, error: Exception) -> ApiError:
    """503: a store does not answer."""
    message = f"{what} cannot be looked up now: {error}; try again soon"
    return ApiError(503, message, type_="server_error", code="store_unavailable", headers={"Retry-After": "5"})


def _is_pair(name: str, value: Any) -> bool:
    if not isinstance(value, str) or len(name) > _MOST_NAME or len(value) > _MOST_VALUE:
        return False
    # PostgreSQL takes no NUL, not even in JSON.
    return "\x00" not in name + value


def _output_seconds(given: Any) -> int | None:
    if given is None:
        return None
    seconds = given.get("seconds") if isinstance(given, dict) and given.get("anchor") == "created_at" else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds not in _EXPIRY_SECONDS:
        low, high = _EXPIRY_SECONDS[0], _EXPIRY_SECONDS[-1]
        message = f"output_expires_after has to be anchor: created_at, and seconds: from {low} to {high}"
        raise bad_request(message, "output_expires_after")
    return seconds
