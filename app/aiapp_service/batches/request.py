"""Requests to /v1/batches: what is wrong is said with the name of the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_service.batches.record import ENDPOINTS, WINDOW
from aiapp_service.http.attributes import metadata_of
from aiapp_service.http.errors import bad_request

_FIELDS = frozenset({"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"})
_EXPIRY_SECONDS = range(3600, 30 * 24 * 3600 + 1)


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


def _output_seconds(given: Any) -> int | None:
    if given is None:
        return None
    seconds = given.get("seconds") if isinstance(given, dict) and given.get("anchor") == "created_at" else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds not in _EXPIRY_SECONDS:
        low, high = _EXPIRY_SECONDS[0], _EXPIRY_SECONDS[-1]
        message = f"output_expires_after has to be anchor: created_at, and seconds: from {low} to {high}"
        raise bad_request(message, "output_expires_after")
    return seconds
