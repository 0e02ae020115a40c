"""HorizontalPodAutoscalers: autoscaling on AI metrics, carried out by Kubernetes itself.

An autoscaled workload is applied without `replicas`: that field is the autoscaler's. Metrics stand in the order in
which Kubernetes reports them, so that no tool sees a difference between what is applied and what is stored.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.autoscaling import (
    ApiAutoscaling,
    Autoscaling,
    Behavior,
    MetricType,
    ScalingMetric,
    WorkerAutoscaling,
)
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.quantity import canonical
from aiapp_operator.build import connections
from aiapp_operator.build.metadata import child

ACTIVE_REQUESTS = "ai_active_requests"
QUEUE_DEPTH = "ai_queue_depth"
WAITING_REQUESTS = "ai_inference_waiting_requests"
# Labels of the series ai_queue_depth, as the rules of config/autoscaling give it to autoscalers.
APP_LABEL = "aiapp"
QUEUE_LABEL = "queue"
_ORDER = ("ContainerResource", "Resource", "Pods", "Object", "External")


def autoscalers(app: AIApp) -> list[Manifest]:
    """One for each workload that has `autoscaling`.

    Raises:
        Stalled: the pods of the AIApp need more connections than its database has; reason InvalidSpec.
    """
    spec = app.spec
    bounds = connections.bounds(app)
    found = []
    if spec.api.autoscaling is not None:
        found.append(_autoscaler(app, ComponentName.API, "", spec.api.autoscaling, _of_api(spec.api.autoscaling)))
    for worker in spec.workers:
        if worker.autoscaling is not None:
            metrics = [_queues(app, worker.queues, worker.autoscaling)]
            found.append(_autoscaler(app, ComponentName.WORKER, worker.name, worker.autoscaling, metrics))
    for entry in spec.inference:
        # What may have no pods is KEDA's.
        if entry.autoscaling is not None and entry.autoscaling.min_replicas > 0:
            metrics = [_pods(WAITING_REQUESTS, str(entry.autoscaling.target_waiting_requests))]
            found.append(_autoscaler(app, ComponentName.INFERENCE, entry.name, entry.autoscaling, metrics))
    return [_bounded(manifest, bounds) for manifest in found]


def _bounded(manifest: Manifest, bounds: connections.Bounds) -> Manifest:
    labels = manifest["metadata"]["labels"]
    most = bounds.most.get((ComponentName(labels[names.LABEL_COMPONENT]), labels.get(names.LABEL_NAME, "")))
    if most is None:
        return manifest
    manifest["metadata"]["annotations"] = {names.ANNOTATION_CAPPED: bounds.words}
    manifest["spec"]["maxReplicas"] = most
    return manifest


def _autoscaler(
    app: AIApp, component: ComponentName, entry: str, autoscaling: Autoscaling, metrics: list[Manifest]
) -> Manifest:
    name = names.part(app.name, component, entry)
    manifest = child(app, "HorizontalPodAutoscaler", name, component, entry)
    manifest["spec"] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": sorted(metrics, key=_place),
    }
    rules = behavior(autoscaling.behavior)
    if rules:
        manifest["spec"]["behavior"] = rules
    return manifest


def _place(metric: Manifest) -> tuple[int, str]:
    kind = metric["type"]
    inner = next(value for key, value in metric.items() if key != "type")
    return _ORDER.index(kind), str(inner.get("name") or inner["metric"]["name"])


def _of_api(autoscaling: ApiAutoscaling) -> list[Manifest]:
    return [
        _pods(ACTIVE_REQUESTS, str(autoscaling.target_active_requests)),
        *(_additional(metric) for metric in autoscaling.metrics),
    ]


def _additional(metric: ScalingMetric) -> Manifest:
    if metric.type is MetricType.PODS:
        return _pods(metric.name, metric.average_value or "1")
    target = {"type": "Utilization", "averageUtilization": metric.average_utilization}
    return {"type": "Resource", "resource": {"name": metric.type.value.lower(), "target": target}}


def _pods(name: str, value: str) -> Manifest:
    target = {"type": "AverageValue", "averageValue": canonical(value)}
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}


def _queues(app: AIApp, queues: list[str], autoscaling: WorkerAutoscaling) -> Manifest:
    """Jobs in all queues of these workers; only one of them tells of each queue, whatever their number."""
    selector = {
        "matchLabels": {APP_LABEL: app.name},
        "matchExpressions": [{"key": QUEUE_LABEL, "operator": "In", "values": sorted(queues)}],
    }
    return {
        "type": "External",
        "external": {
            "metric": {"name": QUEUE_DEPTH, "selector": selector},
            "target": {"type": "AverageValue", "averageValue": canonical(str(autoscaling.target_queue_depth))},
        },
    }


def behavior(given: Behavior | None) -> Manifest:
    """As Kubernetes takes it; empty where nothing is given."""
    if given is None:
        return {}
    dumped: Manifest = given.model_dump(by_alias=True, exclude_none=True, mode="json")
    cleaned = {
        direction: {key: value for key, value in rules.items() if value != []} for direction, rules in dumped.items()
    }
    return {direction: rules for direction, rules in cleaned.items() if rules}
