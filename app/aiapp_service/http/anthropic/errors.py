"""Errors in Anthropic's shape. https://platform.claude.com/docs/en/api/errors"""

import json
from typing import Any

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_document(status: int, message: str, request_id: str) -> dict[str, Any]:
    """The JSON body of an error, or the data of an error event."""
    type_ = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": request_id}


def message_of(body: bytes) -> str:
    """What an error in OpenAI's shape says."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else "the backend refuses the request"
