"""status: what the application is, in words that say why."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from aiapp_operator.api.base import ApiModel


class ConditionStatus(StrEnum):
    """Kubernetes' three-valued truth."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)] = Field(description="What is judged.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Machine-readable cause, one CamelCase word."
    )
    message: Annotated[str, Field(max_length=32768)] = Field(description="The cause and the remedy, for people.")
    observed_generation: int = Field(
        default=0, ge=0, description="metadata.generation this condition was computed for."
    )
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When status last changed."
    )


class ComponentState(StrEnum):
    """State of one component."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    FAILED = "Failed"
    SLEEPING = "Sleeping"


class Component(ApiModel):
    """One workload of the application."""

    name: Annotated[str, Field(max_length=63)] = Field(
        description="api, postgres, redis, worker/NAME or inference/NAME."
    )
    kind: Annotated[str, Field(max_length=63)] = Field(description="Kind of the workload.")
    state: ComponentState = Field(description="Ready, Progressing, Failed or Sleeping.")
    ready: int = Field(default=0, ge=0, description="Pods that are ready and of the current revision.")
    desired: int = Field(default=0, ge=0, description="Pods that should be.")
    message: Annotated[str, Field(max_length=32768)] = Field(default="", description="Why it is not ready.")
    model: Annotated[str, Field(max_length=1024)] = Field(default="", description="Source of the model that is served.")
    revision: Annotated[str, Field(max_length=128)] = Field(
        default="", description="Revision of the model: the exact one where the source has told it."
    )
    progress: Annotated[str, Field(max_length=64)] = Field(
        default="", description="How much of the model is downloaded, while it is not all of it."
    )


class LastBackup(ApiModel):
    """A backup that is complete."""

    name: Annotated[str, Field(max_length=64)] = Field(description="Its name, as restoreFrom takes it.")
    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(description="When it was begun.")
    size: int = Field(default=0, ge=0, description="Bytes in the object store.")
    duration: Annotated[str, Field(max_length=32)] = Field(default="", description="How long it took.")
    rows: int = Field(default=0, ge=0, description="Rows of all tables.")


class LastVerifiedRestore(ApiModel):
    """A backup that was restored and found to hold what it was made of."""

    backup: Annotated[str, Field(max_length=64)] = Field(description="Name of the backup.")
    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(description="When it was proven.")
    size: int = Field(default=0, ge=0, description="Bytes in the object store.")
    duration: Annotated[str, Field(max_length=32)] = Field(default="", description="How long it took.")
    rows: int = Field(default=0, ge=0, description="Rows that were compared.")


class Database(ApiModel):
    """The state of the SQL database."""

    secret_name: Annotated[str, Field(max_length=253)] = Field(description="Secret that holds the connection URL.")
    migrated: Annotated[str, Field(max_length=64)] = Field(
        default="", description="Schema revision of the last migration."
    )
    last_backup: LastBackup | None = Field(default=None, description="The newest backup that is known of.")
    last_verified_restore: LastVerifiedRestore | None = Field(
        default=None, description="The last restore drill that went well."
    )


class LastWake(ApiModel):
    """How the application last woke."""

    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(description="When it was Ready again.")
    seconds: int = Field(ge=0, description="From spec.state: Running until then.")


class AIAppStatus(ApiModel):
    """What the application is."""

    observed_generation: int = Field(
        default=-1, description="metadata.generation that this status describes; -1: not yet seen."
    )
    url: Annotated[str, Field(max_length=2048)] = Field(default="", description="Where clients reach the API.")
    replicas: int = Field(default=0, ge=0, description="API pods there are, for the scale subresource.")
    selector: Annotated[str, Field(max_length=512)] = Field(
        default="", description="Label selector of the API pods, for the scale subresource."
    )
    api: Annotated[str, Field(max_length=32)] = Field(default="", description="API pods ready/desired.")
    workers: Annotated[str, Field(max_length=32)] = Field(default="", description="Worker pods ready/desired.")
    inference: Annotated[str, Field(max_length=32)] = Field(default="", description="Inference pods ready/desired.")
    gpus: Annotated[str, Field(max_length=32)] = Field(default="", description="GPUs of inference pods ready/desired.")
    components: list[Component] = Field(
        default_factory=list,
        max_length=64,
        description="Each workload with its state.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    database: Database | None = Field(default=None, description="The state of the SQL database.")
    waking_since: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description="Since when the application wakes; only while it does."
    )
    last_wake: LastWake | None = Field(default=None, description="How long it last took to wake.")
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=32,
        description="Ready, its causes, and Reconciling, Stalled or Suspended while they hold.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
