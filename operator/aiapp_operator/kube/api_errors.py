"""Errors of the Kubernetes API as types.

ApiError
+-- NotFound        404
+-- AlreadyExists   409, on create
+-- Conflict        409, on update
+-- Gone            410: the version to watch from is too old
+-- Invalid         422, or 400: the object is refused; `causes` name the fields
+-- Forbidden       403
+-- Unauthorized    401
+-- Throttled       429; `retry_after` in seconds
+-- Unavailable     5xx, time-outs and broken connections
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """One field that the API server refuses."""

    field: str
    message: str


class ApiError(Exception):
    """A request that failed; `message` is the API server's."""

    def __init__(self, status: int, reason: str, message: str, causes: tuple[Cause, ...] = ()) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes


class NotFound(ApiError):
    """404."""


class AlreadyExists(ApiError):
    """409 on create."""


class Conflict(ApiError):
    """409 on update: the object has moved on."""


class Gone(ApiError):
    """410: the version to watch from is too old."""


class Invalid(ApiError):
    """422 or 400: the object is refused."""


class Forbidden(ApiError):
    """403: by RBAC, a quota, or an admission rule."""

    @property
    def terminating(self) -> bool:
        """Whether the namespace is on its way out."""
        return any(cause.field == "metadata.namespace" for cause in self.causes) or "being terminated" in self.message


class Unauthorized(ApiError):
    """401."""


class Throttled(ApiError):
    """429."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(429, "TooManyRequests", message)
        self.retry_after = retry_after


class Unavailable(ApiError):
    """5xx, time-outs and broken connections."""


_TYPES: dict[int, type[ApiError]] = {400: Invalid, 401: Unauthorized, 403: Forbidden, 404: NotFound, 410: Gone}
_RETRY_AFTER_SECONDS = 1.0


def from_response(status: int, headers: dict[str, str], body: bytes) -> ApiError:
    """The error that a response with a status of 400 or more stands for."""
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    reason = str(document.get("reason") or status)
    message = str(document.get("message") or body[:200].decode("utf-8", "replace"))
    if status == 429:
        return Throttled(message, _retry_after(headers))
    details = document.get("details") or {}
    causes = tuple(Cause(c.get("field", ""), c.get("message", "")) for c in details.get("causes") or ())
    if status == 409:
        kind: type[ApiError] = AlreadyExists if reason == "AlreadyExists" else Conflict
    elif status == 422:
        kind = Invalid
    else:
        kind = _TYPES.get(status, Unavailable if status >= 500 else ApiError)
    return kind(status, reason, message, causes)


def _retry_after(headers: dict[str, str]) -> float:
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return _RETRY_AFTER_SECONDS
