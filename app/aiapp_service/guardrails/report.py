"""How clients hear of what guardrails did: a header, a field of answers, an error."""

from collections.abc import Sequence
from typing import Any

from aiapp_service.guardrails.passage import Guardrail, Unavailable
from aiapp_service.http.errors import ApiError
from aiapp_service.pipeline.call import Call

HEADER = "x-aiapp-guardrails"
FIELD = "x_aiapp_guardrails"
FILTERED = "content_filter"
_RETRY_SECONDS = "5"


def label(guardrail: Guardrail) -> str:
    """The action in headers, answers and metrics."""
    return guardrail.action.value.lower()


def note(call: Call, violations: Sequence[Guardrail]) -> None:
    """Add them to the header: `pii=redact,topics=audit`."""
    if violations:
        known = call.headers.get(HEADER)
        entries = [*(known.split(",") if known else ()), *(f"{g.name}={label(g)}" for g in violations)]
        call.headers[HEADER] = ",".join(dict.fromkeys(entries))


def field(violations: Sequence[Guardrail]) -> list[dict[str, Any]]:
    """The field of an answer, or of the last chunk of a choice."""
    return [{"name": g.name, "action": label(g)} for g in dict.fromkeys(violations)]


def blocked(guardrail: Guardrail, param: str) -> ApiError:
    """A request that must not reach a model. What it was that was found is not said."""
    message = f"the request was blocked by guardrail {guardrail.name}; change what it says and send it again"
    return ApiError(400, message, code=FILTERED, param=param)


def unavailable(error: Unavailable) -> ApiError:
    """A guardrail could not be asked, and requests must not go on without."""
    headers = {"Retry-After": _RETRY_SECONDS}
    return ApiError(503, str(error), type_="server_error", code="guardrail_unavailable", headers=headers)
