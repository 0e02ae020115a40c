"""What an HTTP answer that is no success means for the choice of backends.

Whether another backend may do better follows from the status, and for a few of them from the words of the body:
a request that is too long for one model fits into another, and an empty account looks like too many requests.
"""

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from aiapp_service.llm.upstream import BackendError, Reason

_BY_STATUS = {
    401: (Reason.REFUSED_KEY, "refuses the API key (401)"),
    402: (Reason.OUT_OF_QUOTA, "is out of quota (402)"),
    403: (Reason.REFUSED_KEY, "refuses the API key (403)"),
    404: (Reason.MODEL_MISSING, "does not have the model (404)"),
    408: (Reason.TIMEOUT, "answered 408"),
    429: (Reason.RATE_LIMITED, "is asked too often (429)"),
    504: (Reason.TIMEOUT, "answered 504"),
}
# With these the body may say more than the status does.
_WORDED = frozenset({400, 403, 413, 422, 429})
# What is looked at of a body: some servers say in it what they were sent.
_MOST_LOOKED_AT = 64 * 1024

_TOO_LONG = re.compile(
    rb"context_length_exceeded"  # OpenAI, and many who follow it
    rb"|maximum context length|context window of this model|input tokens exceed"  # OpenAI, vLLM, Mistral, SGLang
    rb"|longer than the maximum model length|longer than the model's context length"  # vLLM, SGLang
    rb"|exceed_context_size|exceeds the available context size"  # llama.cpp
    rb"|prompt is too long|exceed context limit"  # Anthropic
    rb"|input token count[^.]{0,40} exceeds the maximum",  # Google
    re.IGNORECASE,
)
# Nothing of it comes back by waiting.
_NO_QUOTA = re.compile(
    rb"insufficient_quota|check your plan and billing|insufficient balance|billing_hard_limit_reached",
    re.IGNORECASE,
)
_NO_CREDIT = "Your credit balance is too low"  # Anthropic, with 400
_FLAGGED = re.compile(rb"moderation|flagged|content.?policy", re.IGNORECASE)


class Refused(BackendError):
    """Another backend may take the request; where none does this refusal is the answer: `content`, with `status`."""

    def __init__(self, reason: Reason, message: str, status: int, content_type: str, content: bytes) -> None:
        super().__init__(reason, message, status=status)
        self.content_type = content_type
        self.content = content


class TooLong(Refused):
    """The request does not fit into the context window; `content` is how the backend said so."""

    def __init__(self, status: int, content_type: str, content: bytes) -> None:
        message = f"says that the request is too long ({status})"
        super().__init__(Reason.CONTEXT_LENGTH, message, status, content_type, content)


def has_words(status: int) -> bool:
    """Whether the body has to be read to tell what an answer means."""
    return status in _WORDED


def failure_of(status: int, retry_after: str | None, content_type: str, content: bytes) -> BackendError | None:
    """Why another backend may do better; None: this is the answer, though it may tell the client of a mistake."""
    looked_at = content[:_MOST_LOOKED_AT]
    if _has_no_quota(status, looked_at):
        return BackendError(Reason.OUT_OF_QUOTA, f"is out of quota ({status})", retry_after, status=status)
    if status == 403 and _FLAGGED.search(looked_at):
        # The request is refused, not the key: it must not bring the backend down for everybody.
        return None
    if status in _BY_STATUS:
        return BackendError(*_BY_STATUS[status], retry_after, status=status)
    if status in _WORDED and _TOO_LONG.search(looked_at):
        return TooLong(status, content_type, content)
    if status >= 500:
        return BackendError(Reason.SERVER_ERROR, f"answered {status}", retry_after, status=status)
    return None if status == 200 or status >= 400 else BackendError(Reason.BROKEN, f"answered {status}")


def _has_no_quota(status: int, content: bytes) -> bool:
    if status == 429:
        return bool(_NO_QUOTA.search(content))
    if status != 400 or _NO_CREDIT.encode() not in content:
        return False
    try:
        said = json.loads(content)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return False
    # Only as the server's own words: a client may have sent them, too.
    return isinstance(said, str) and said.startswith(_NO_CREDIT)


def retry_seconds(header: str | None) -> float | None:
    """`Retry-After` as seconds from now, which may be a number or a date; None where it says nothing."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    now = datetime.now(UTC)
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
