"""What Anthropic's own errors mean.

https://platform.claude.com/docs/en/api/errors
"""

import json
import re
from typing import Any

from aiapp_service.llm.translated import refusal
from aiapp_service.llm.upstream import BackendError, Reason

# Nobody's mistake but the payer's: told as 400 or 402, while other backends may well answer.
_OUT_OF_MONEY = frozenset(
    {
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_spend_limit_reached",
    }
)
_REASONS = {
    "rate_limit_error": Reason.RATE_LIMITED,
    "billing_error": Reason.OUT_OF_QUOTA,
    "authentication_error": Reason.REFUSED_KEY,
    "permission_error": Reason.REFUSED_KEY,
    "not_found_error": Reason.MODEL_MISSING,
    "timeout_error": Reason.TIMEOUT,
}
# How the API words it; it has no code for it.
_TOO_LONG = re.compile(r"prompt is too long|exceeds? (the )?context (limit|window)", re.IGNORECASE)
_MOST_MESSAGE = 2000


def as_openai(status: int, body: bytes) -> tuple[int, bytes]:
    """Status and body of an error, in OpenAI's shape.

    The status stays, except where the account has run out of money: that is 429, as it is with OpenAI.
    """
    error = _error(body)
    type_ = str(error.get("type") or "invalid_request_error")
    message = str(error.get("message") or f"answered {status}")[:_MOST_MESSAGE]
    details = error.get("details")
    cause = details.get("error_code") if isinstance(details, dict) else None
    code = "context_length_exceeded" if status == 400 and _TOO_LONG.search(message) else None
    if status == 402 or (status == 400 and cause in _OUT_OF_MONEY):
        status, code = 429, "insufficient_quota"
    return status, refusal(message, type_=type_, code=code)


def failure_of(error: Any) -> BackendError:
    """What an error event within a stream means."""
    type_ = str(error.get("type")) if isinstance(error, dict) else "unknown"
    return BackendError(_REASONS.get(type_, Reason.SERVER_ERROR), f"reported {type_[:60]} within the stream")


def _error(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else {}
