"""A row of the ledger, on its way from the process that served a request to PostgreSQL."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from aiapp_service.pipeline.call import Call

_MOST_CHARACTERS = 512
# PostgreSQL's bigint.
Count = Annotated[int, Field(ge=0, lt=2**63)]


class UsageRow(BaseModel):
    """The columns of table `usage`, by name. A field that another version knows and this one does not is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    request_id: str
    client_request_id: str = ""
    created_at: AwareDatetime
    tenant: str = ""
    api_key: str = ""
    user_name: str = ""
    model: str
    backend: str
    endpoint: str
    input_tokens: Count = 0
    output_tokens: Count = 0
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    audio_input_tokens: Count = 0
    audio_output_tokens: Count = 0
    cost_usd: Decimal | None = None
    estimated: bool = False
    batch: str = ""


def row_of(call: Call) -> UsageRow:
    """The row of a billable call.

    Its id is not the one that the client may choose: nobody gets around a bill by using an id twice.
    """
    usage, principal = call.usage, call.principal
    assert usage is not None  # noqa: S101  # that is what billable means
    assert call.backend is not None  # noqa: S101  # what has usage was answered by one
    return UsageRow.model_construct(
        request_id=uuid.uuid4().hex,
        client_request_id=call.request_id,
        created_at=datetime.now(UTC),
        tenant=_clean(principal.tenant),
        api_key=_clean(principal.key),
        user_name=_clean(principal.user),
        model=call.model,
        backend=call.backend.name,
        endpoint=str(call.endpoint or ""),
        input_tokens=usage.input,
        output_tokens=usage.output,
        cached_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
        audio_input_tokens=usage.audio_input,
        audio_output_tokens=usage.audio_output,
        cost_usd=call.cost,
        estimated=call.estimated,
    )


def _clean(name: str) -> str:
    """A name that came in a token may hold what PostgreSQL does not take."""
    if name.isascii() and name.isprintable() and len(name) <= _MOST_CHARACTERS:
        return name
    return name.replace("\x00", "").encode("utf-8", "replace").decode()[:_MOST_CHARACTERS]
