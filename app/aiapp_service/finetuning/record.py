"""A fine-tuning job as PostgreSQL keeps it, and as the API shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

QUEUE = "fine-tune"
JOB = "fine-tuning"
ENDED = ("succeeded", "failed", "cancelled")
_AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}


@dataclass(frozen=True)
class TuningJob:
    """One row of table `fine_tuning_jobs`, without who holds it.

    `document` is the provider's own, as it last was; `wanted` is what the provider has not been told yet.
    """

    id: str
    tenant: str
    principal: Mapping[str, Any]
    provider: str
    model: str
    request: Mapping[str, Any]
    status: str
    wanted: str | None
    provider_files: Mapping[str, str]
    provider_job: str | None
    submitting: bool
    document: Mapping[str, Any]
    fine_tuned_model: str | None
    error: Mapping[str, Any] | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.status in ENDED

    def shown(self) -> dict[str, Any]:
        """As OpenAI's API has it, with the names of our files and models."""
        asked, told = self.request, self.document
        return {
            "id": self.id,
            "object": "fine_tuning.job",
            "created_at": int(self.created_at.timestamp()),
            "finished_at": None if self.finished_at is None else int(self.finished_at.timestamp()),
            "estimated_finish": told.get("estimated_finish"),
            "model": self.model,
            "fine_tuned_model": self.fine_tuned_model,
            "organization_id": self.tenant,
            "status": self.status,
            "training_file": asked["training_file"],
            "validation_file": asked.get("validation_file"),
            "hyperparameters": told.get("hyperparameters") or asked.get("hyperparameters") or _AUTO,
            "method": told.get("method") or asked.get("method"),
            "trained_tokens": told.get("trained_tokens"),
            # They stay with the provider.
            "result_files": [],
            "integrations": [],
            "seed": told.get("seed") or asked.get("seed") or 0,
            "error": self.error,
            "metadata": asked.get("metadata"),
        }


COLUMNS = tuple(field.name for field in fields(TuningJob))
