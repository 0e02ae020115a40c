"""Types of conditions, in the order of cause: what stands earlier explains what stands later."""

from dataclasses import dataclass
from enum import StrEnum


class ConditionType(StrEnum):
    """Conditions of an AIApp."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    SPEC_ACCEPTED = "SpecAccepted"
    DEPENDENCIES_AVAILABLE = "DependenciesAvailable"
    POSTGRES_READY = "PostgresReady"
    REDIS_READY = "RedisReady"
    MIGRATED = "Migrated"
    INFERENCE_READY = "InferenceReady"
    API_READY = "APIReady"
    BACKENDS_HEALTHY = "BackendsHealthy"
    WORKERS_READY = "WorkersReady"
    AUTOSCALING_ACTIVE = "AutoscalingActive"
    BACKUP_VERIFIED = "BackupVerified"


CAUSES = (
    ConditionType.SPEC_ACCEPTED,
    ConditionType.DEPENDENCIES_AVAILABLE,
    ConditionType.POSTGRES_READY,
    ConditionType.REDIS_READY,
    ConditionType.MIGRATED,
    ConditionType.INFERENCE_READY,
    ConditionType.API_READY,
    ConditionType.BACKENDS_HEALTHY,
    ConditionType.WORKERS_READY,
    ConditionType.AUTOSCALING_ACTIVE,
    ConditionType.BACKUP_VERIFIED,
)

# Present only while true (kstatus: abnormal-true conditions are absent in the normal case).
ONLY_WHILE_TRUE = frozenset({ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.SUSPENDED})


@dataclass(frozen=True)
class Transition:
    """A condition that moved; goes out as one Kubernetes Event."""

    type: str
    reason: str
    message: str
    normal: bool
