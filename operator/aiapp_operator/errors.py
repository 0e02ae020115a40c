"""Errors of a reconcile; each type carries how it is handled.

    ReconcileError
    +-- Stalled    only the user can mend it: condition Stalled=True, no retry until something changes
    +-- Waiting    something known has to happen first: looked at again after `seconds`
    +-- Retry      a fault that may pass: retried with exponential backoff and full jitter

`reason` is one CamelCase word for machines, `message` says the cause and the remedy to people and
never holds secret values or random text (a status with random text never settles).
"""


class ReconcileError(Exception):
    """Base of all; not raised itself."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class Stalled(ReconcileError):
    """Only the user can mend it."""


class Waiting(ReconcileError):
    """Something known has to happen first."""

    def __init__(self, reason: str, message: str, *, seconds: float) -> None:
        super().__init__(reason, message)
        self.seconds = seconds


class Retry(ReconcileError):
    """A fault that may pass."""
