"""Which nodes may run the pods of a model server."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build.inference import gpu

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def placement(app: AIApp, inference: Inference) -> Manifest:
    """Fields of the pod's spec."""
    fields = {**gpu.pod_fields(inference.gpu), **nodes(inference)}
    if inference.placement.priority_class_name:
        fields["priorityClassName"] = inference.placement.priority_class_name
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names.selector(app.name, ComponentName.INFERENCE, inference.name)},
        }
        for key in inference.placement.spread_over
    ]
    return {**fields, "topologySpreadConstraints": spread} if spread else fields


def nodes(inference: Inference) -> Manifest:
    """The part that says where pods may be at all: a volume has to be made where they can follow it."""
    wanted = inference.placement
    fields: Manifest = {}
    if wanted.node_selector:
        fields["nodeSelector"] = dict(wanted.node_selector)
    tolerations = [t.model_dump(by_alias=True, exclude_none=True, mode="json") for t in wanted.tolerations]
    tolerations = [{name: value for name, value in t.items() if value} for t in tolerations]
    tolerations += [t for t in gpu.tolerations(inference.gpu) if t not in tolerations]
    if tolerations:
        fields["tolerations"] = tolerations
    return fields


def queue_labels(inference: Inference) -> dict[str, str]:
    """What Kueue knows the workload by; it holds the pods back until their queue has room for them."""
    return {QUEUE_LABEL: inference.placement.queue} if inference.placement.queue else {}
