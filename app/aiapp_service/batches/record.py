"""A batch as PostgreSQL keeps it, and as the API shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.principal import Principal, principal_of

QUEUE = "batches"
JOB = "batch"
ENDPOINTS: Mapping[str, Endpoint] = {
    f"/v1/{endpoint}": endpoint for endpoint in (Endpoint.CHAT, Endpoint.EMBEDDINGS, Endpoint.RESPONSES)
}
WINDOW = "24h"
WINDOW_SECONDS = 24 * 3600


class Status(StrEnum):
    """Where a batch stands: validating -> in_progress -> finalizing -> completed, or one of the other ends.

    From validating it may fail, until it is finalizing it may be cancelled or expire.
    """

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        return self in (Status.FAILED, Status.COMPLETED, Status.EXPIRED, Status.CANCELLED)


@dataclass(frozen=True)
class Batch:
    """One row of table `batches`, without who holds it."""

    id: str
    tenant: str
    principal: Mapping[str, Any]
    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: Mapping[str, str] | None
    output_seconds: int | None
    status: str
    ending: str | None
    model: str | None
    total: int
    completed: int
    failed: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    errors: Sequence[Mapping[str, Any]] | None
    paused: Mapping[str, Any] | None
    output_file_id: str | None
    error_file_id: str | None
    created_at: datetime
    expires_at: datetime
    in_progress_at: datetime | None
    finalizing_at: datetime | None
    completed_at: datetime | None
    failed_at: datetime | None
    expired_at: datetime | None
    cancelling_at: datetime | None
    cancelled_at: datetime | None

    @property
    def caller(self) -> Principal:
        """Who made it."""
        return principal_of(self.principal)

    def document(self) -> dict[str, Any]:
        """As OpenAI's API has it; `x_paused` is ours and says why no lines are begun for now."""
        document: dict[str, Any] = {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": None if self.errors is None else {"object": "list", "data": list(self.errors)},
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status,
            # Until then they may not be there yet.
            "output_file_id": self.output_file_id if Status(self.status).ended else None,
            "error_file_id": self.error_file_id if Status(self.status).ended else None,
            **{name: _seconds(getattr(self, name)) for name in COLUMNS if name.endswith("_at")},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": {
                "input_tokens": self.input_tokens,
                "input_tokens_details": {"cached_tokens": self.cached_tokens},
                "output_tokens": self.output_tokens,
                "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
                "total_tokens": self.input_tokens + self.output_tokens,
            },
            "metadata": self.metadata,
        }
        return document if self.paused is None else {**document, "x_paused": self.paused}


COLUMNS = tuple(field.name for field in fields(Batch))


def _seconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())
