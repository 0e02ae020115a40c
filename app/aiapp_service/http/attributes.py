"""Attributes of files and metadata of stores: a few keys with plain values.

Limits: https://platform.openai.com/docs/api-reference/vector-stores-files/updateAttributes
"""

import math
from collections.abc import Mapping
from typing import Any

from aiapp_service.http.errors import bad_request

MOST_KEYS = 16
MOST_KEY = 64
MOST_VALUE = 512


def attributes(given: Any, field: str = "attributes") -> dict[str, Any]:
    """Strings, numbers and booleans by key.

    Raises:
        ApiError: names the key that is wrong.
    """
    found = _keys(given, field)
    for key, value in found.items():
        if not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
            raise bad_request(f"{field}.{key} has to be a string, a number or a boolean", f"{field}.{key}")
        _within(key, value, field)
    return found


def metadata(given: Any) -> dict[str, str]:
    """Strings by key.

    Raises:
        ApiError: names the key that is wrong.
    """
    found = _keys(given, "metadata")
    for key, value in found.items():
        if not isinstance(value, str):
            raise bad_request(f"metadata.{key} has to be a string", f"metadata.{key}")
        _within(key, value, "metadata")
    return found


def metadata_of(body: Mapping[str, Any]) -> dict[str, str] | None:
    """Strings by key; None where the request has none.

    Raises:
        ApiError: names the key that is wrong.
    """
    return None if body.get("metadata") is None else metadata(body["metadata"])


def _keys(given: Any, field: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise bad_request(f"{field} has to be an object", field)
    if len(given) > MOST_KEYS:
        raise bad_request(f"{field} has {len(given)} keys, {MOST_KEYS} are the most", field)
    for key in given:
        if not key or len(key) > MOST_KEY or "\x00" in key:
            raise bad_request(f"{field}: a key has 1 to {MOST_KEY} characters", field)
    return given


def _within(key: str, value: Any, field: str) -> None:
    if isinstance(value, str) and (len(value) > MOST_VALUE or "\x00" in value):
        raise bad_request(f"{field}.{key} has more than {MOST_VALUE} characters", f"{field}.{key}")
