"""Whether autoscalers can do their work, and what to do where they cannot."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIAppSpec
from aiapp_operator.api.autoscaling import Autoscaling
from aiapp_operator.api.facts import Autoscaler
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.status.fields import number, text

NO_METRICS = "MetricsUnavailable"
_REMEDY = (
    "run Prometheus and prometheus-adapter with the rules of docs/autoscaling.md; until then the number of pods stays"
)
# Kubernetes' reasons for a metric that it cannot get, by the kind of metric.
_OF_METRICS = frozenset(
    {"FailedGetPodsMetric", "FailedGetExternalMetric", "FailedGetResourceMetric", "FailedGetObjectMetric"}
)


def autoscaled(spec: AIAppSpec) -> dict[tuple[ComponentName, str], Autoscaling]:
    """The workloads whose number of pods is an autoscaler's, in a fixed order."""
    found: dict[tuple[ComponentName, str], Autoscaling] = {}
    for entry in spec.inference:
        if entry.autoscaling is not None:
            found[ComponentName.INFERENCE, entry.name] = entry.autoscaling
    if spec.api.autoscaling is not None:
        found[ComponentName.API, ""] = spec.api.autoscaling
    for worker in spec.workers:
        if worker.autoscaling is not None:
            found[ComponentName.WORKER, worker.name] = worker.autoscaling
    return found


CAPPED = "Capped"


def bounds(component: ComponentName, entry: str, autoscaling: Autoscaling, planned: Manifest | None) -> str:
    """`api: 2 to 10 pods`; `planned` is the autoscaler, which may have less room than it was given."""
    label = names.component_label(component.value, entry)
    why = capped(planned)
    if not why:
        return f"{label}: {autoscaling.min_replicas} to {autoscaling.max_replicas} pods"
    most = number(planned, "spec", "maxReplicas")
    return f"{label}: {autoscaling.min_replicas} to {most} pods and not {autoscaling.max_replicas}: {why}"


def capped(planned: Manifest | None) -> str:
    """Why an autoscaler may not go as far as asked for; empty where it may."""
    return text(planned, "metadata", "annotations", names.ANNOTATION_CAPPED)


def needs_keda(autoscaling: Autoscaling) -> bool:
    """Whether a workload may have no pods, which only KEDA can do."""
    return autoscaling.min_replicas == 0


KEDA_MISSING = (
    "autoscaling.minReplicas 0 needs KEDA, whose API keda.sh/v1alpha1 is not served, or not to this operator: install "
    "it (https://keda.sh), or set minReplicas to 1; until then there is one pod"
)


def trouble(component: ComponentName, entry: str, found: Autoscaler) -> tuple[str, str]:
    """Reason and message for an autoscaler that cannot work."""
    label = names.component_label(component.value, entry)
    if found.reason == "ScalingDisabled":
        return found.reason, f"{label}: the workload has no pods, so nothing is scaled"
    if found.reason in _OF_METRICS:
        return NO_METRICS, f"{label}: {found.message}: {_REMEDY}"
    return found.reason or "NotActive", f"{label}: {found.message or 'the autoscaler cannot work'}"
