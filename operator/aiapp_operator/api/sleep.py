"""spec.state and spec.sleep: an AIApp that is set to sleep, and what becomes of its databases meanwhile."""

from enum import StrEnum

from pydantic import Field

from aiapp_operator.api.base import ApiModel


class State(StrEnum):
    """What the application is to do."""

    RUNNING = "Running"
    SLEEPING = "Sleeping"


class SleepingDatabases(StrEnum):
    """What becomes of managed databases while the application sleeps."""

    STOP = "Stop"
    KEEP_RUNNING = "KeepRunning"


class Sleep(ApiModel):
    """How the application sleeps."""

    databases: SleepingDatabases = Field(
        default=SleepingDatabases.STOP,
        description=(
            "Stop: managed databases stop last and keep their data; no backup is made meanwhile. KeepRunning: they go "
            "on, backups too, and waking is faster."
        ),
    )
    retry_after_seconds: int = Field(
        default=60,
        ge=1,
        le=86_400,
        description="Retry-After of the answers while the application sleeps, in seconds.",
    )
