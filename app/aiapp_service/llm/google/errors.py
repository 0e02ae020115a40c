"""What Google's own errors mean.

https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193
"""

import json
import math
import re
from typing import Any

from aiapp_service.llm.translated import dicts, refusal
from aiapp_service.llm.upstream import BackendError, Reason

_REASONS = {
    "RESOURCE_EXHAUSTED": Reason.RATE_LIMITED,
    "PERMISSION_DENIED": Reason.REFUSED_KEY,
    "UNAUTHENTICATED": Reason.REFUSED_KEY,
    "NOT_FOUND": Reason.MODEL_MISSING,
    "DEADLINE_EXCEEDED": Reason.TIMEOUT,
}
_REFUSED_KEYS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
# How the API words them. At the start only: further on it may repeat what a client has sent.
_KEY = re.compile(r"API key (not valid|not found|expired)", re.IGNORECASE)
_TOO_LONG = re.compile(r"(the |unable to submit request because the )?input token count\b", re.IGNORECASE)
_MOST_MESSAGE = 2000


def as_openai(status: int, body: bytes) -> tuple[int, str | None, bytes]:
    """Status, Retry-After and body of an error, in OpenAI's shape.

    The status stays, except where Google tells its customer's trouble as a mistake of the request: a key that is not
    valid is 401, and a country or an account that is not served 403.
    """
    error = _error(body)
    type_ = str(error.get("status") or "INVALID_ARGUMENT")
    message = str(error.get("message") or f"answered {status}")[:_MOST_MESSAGE]
    code = None
    if status == 400 and _refuses_key(error):
        status, code = 401, "invalid_api_key"
    elif status == 400 and type_ == "FAILED_PRECONDITION":
        status = 403
    elif status == 400 and _TOO_LONG.match(message):
        code = "context_length_exceeded"
    retry_after = _retry_after(error)
    if status == 429 and retry_after is not None:
        # The words are the same as those for an account that has nothing left.
        message, code = f"asked too often, come back in {retry_after} s", "rate_limit_exceeded"
    return status, retry_after, refusal(message, type_=type_.lower(), code=code)


def refused_key(body: bytes) -> bool:
    """Whether an answer with status 400 means that the key is not valid."""
    return _refuses_key(_error(body))


def failure_of(error: Any) -> BackendError:
    """What an error within a stream means."""
    type_ = str(error.get("status")) if isinstance(error, dict) else "unknown"
    retry_after = _retry_after(error) if isinstance(error, dict) else None
    reason = _REASONS.get(type_, Reason.SERVER_ERROR)
    return BackendError(reason, f"reported {type_[:60]} within the stream", retry_after)


def _refuses_key(error: dict[str, Any]) -> bool:
    reasons = {str(detail.get("reason")) for detail in dicts(error.get("details"))}
    return bool(reasons & _REFUSED_KEYS) or _KEY.match(str(error.get("message"))) is not None


def _retry_after(error: dict[str, Any]) -> str | None:
    """Whole seconds, from a duration like `17.5s`."""
    for detail in dicts(error.get("details")):
        delay = detail.get("retryDelay")
        try:
            return str(math.ceil(float(str(delay).removesuffix("s"))))
        except ValueError:
            continue
    return None


def _error(body: bytes) -> dict[str, Any]:
    """Streams that fail before they begin are told of in a list."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) else {}
