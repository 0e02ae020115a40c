"""autoscaling: how many pods a workload may have, and by which numbers that is decided.

Kubernetes' own HorizontalPodAutoscaler does the work; what is given here becomes its spec.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, Duration, Quantity, Rule

_ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
_MOST_REPLICAS = 1000
_BOUNDS = Rule(
    "(has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas",
    "autoscaling.minReplicas must not be more than autoscaling.maxReplicas",
)


class PolicyType(StrEnum):
    """What a policy counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """Which policy holds where several do; Disabled: no change in this direction."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class ScalingPolicy(ApiModel):
    """How much may change within a time."""

    type: PolicyType = Field(description="Pods or Percent.")
    value: int = Field(ge=1, le=1000, description="How many pods, or which percentage of the present ones.")
    period_seconds: int = Field(ge=1, le=1800, description="Within how many seconds.")


class ScalingRules(ApiModel):
    """One direction; what is unset is as Kubernetes has it by default."""

    stabilization_window_seconds: int | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="Seconds for which a need has to last; Kubernetes: 300 down, 0 up.",
    )
    select_policy: SelectPolicy | None = Field(
        default=None, description="Max, Min, or Disabled: no change in this direction."
    )
    policies: list[ScalingPolicy] = Field(
        default_factory=list, max_length=8, description="How much may change within a time.", json_schema_extra=_ATOMIC
    )


class Behavior(ApiModel):
    """How fast pods are added and removed."""

    scale_up: ScalingRules | None = Field(default=None, description="Adding pods.")
    scale_down: ScalingRules | None = Field(default=None, description="Removing pods.")


class MetricType(StrEnum):
    """What an additional metric measures."""

    CPU = "CPU"
    MEMORY = "Memory"
    PODS = "Pods"


class ScalingMetric(ApiModel):
    """A metric besides the one that the target is for; the one that asks for most pods decides."""

    type: MetricType = Field(description="CPU, Memory, or Pods: a custom metric of the pods.")
    name: Annotated[str, Field(max_length=253, pattern=r"^$|^[a-zA-Z_:][a-zA-Z0-9_:]*$")] = Field(
        default="", description="Name of the custom metric, for type Pods."
    )
    average_utilization: int | None = Field(
        default=None, ge=1, le=1000, description="Percent of what the pods request, for types CPU and Memory."
    )
    average_value: Quantity | None = Field(default=None, description="Value for each pod, for type Pods.")
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.type == 'Pods' ? has(self.name) && self.name != '' && has(self.averageValue) && "
            "!has(self.averageUtilization) : (!has(self.name) || self.name == '') && has(self.averageUtilization) && "
            "!has(self.averageValue)",
            "metrics[]: type Pods takes name and averageValue, types CPU and Memory take averageUtilization",
        ),
    )


class ApiAutoscaling(ApiModel):
    """API pods by the requests that they work on."""

    min_replicas: int = Field(default=2, ge=1, le=_MOST_REPLICAS, description="Pods that there are at least.")
    max_replicas: int = Field(default=10, ge=1, le=_MOST_REPLICAS, description="Pods that there are at most.")
    target_active_requests: int = Field(
        default=10,
        ge=1,
        le=100_000,
        description="Requests each pod works on at the same time (ai_active_requests).",
    )
    behavior: Behavior | None = Field(default=None, description="How fast pods are added and removed.")
    metrics: list[ScalingMetric] = Field(
        default_factory=list,
        max_length=8,
        description="More metrics: the one that asks for most pods decides.",
        json_schema_extra=_ATOMIC,
    )
    cel: ClassVar[tuple[Rule, ...]] = (_BOUNDS,)


class WorkerAutoscaling(ApiModel):
    """Worker pods by the jobs that wait for them."""

    min_replicas: int = Field(default=1, ge=1, le=_MOST_REPLICAS, description="Pods that there are at least.")
    max_replicas: int = Field(default=10, ge=1, le=_MOST_REPLICAS, description="Pods that there are at most.")
    target_queue_depth: int = Field(
        default=100, ge=1, le=10_000_000, description="Jobs for each pod, over all of its queues (ai_queue_depth)."
    )
    behavior: Behavior | None = Field(default=None, description="How fast pods are added and removed.")
    cel: ClassVar[tuple[Rule, ...]] = (_BOUNDS,)


class InferenceAutoscaling(ApiModel):
    """Inference pods by the requests that wait inside the engine."""

    min_replicas: int = Field(
        default=1,
        ge=0,
        le=_MOST_REPLICAS,
        description="Pods that there are at least. 0 needs KEDA; without it there is one.",
    )
    max_replicas: int = Field(default=4, ge=1, le=_MOST_REPLICAS, description="Pods that there are at most.")
    target_waiting_requests: int = Field(
        default=4,
        ge=1,
        le=100_000,
        description="Requests that wait in each pod (ai_inference_waiting_requests); with minReplicas 0 those that are "
        "under way too (ai_inference_requests).",
    )
    wake_timeout: Duration = Field(
        default="2m", description="With minReplicas 0: how long a request waits for the first pod, for example 2m."
    )
    idle_seconds: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="With minReplicas 0: seconds without requests until the last pod goes.",
    )
    behavior: Behavior | None = Field(default=None, description="How fast pods are added and removed.")
    cel: ClassVar[tuple[Rule, ...]] = (_BOUNDS,)


Autoscaling = ApiAutoscaling | WorkerAutoscaling | InferenceAutoscaling
