"""GPUs in a pod: the resource, the runtime class, and the taint that GPU nodes usually carry."""

from aiapp_operator.api.inference import Gpu
from aiapp_operator.api.manifest import Manifest

CLAIM = "gpu"


def with_gpu(resources: Manifest, gpu: Gpu | None) -> Manifest:
    """Container resources with the GPUs added; extended resources are requested and limited alike."""
    if gpu is None:
        return resources
    if gpu.resource_claim_template_name:
        return {**resources, "claims": [{"name": CLAIM}]}
    count = {gpu.resource_name: str(gpu.count)}
    return {name: dict(sorted((values | count).items())) for name, values in resources.items()}


def tolerations(gpu: Gpu | None) -> list[Manifest]:
    """GPU nodes are commonly tainted with the name of the resource, to keep other pods away."""
    if gpu is None or gpu.resource_claim_template_name:
        return []
    return [{"key": gpu.resource_name, "operator": "Exists", "effect": "NoSchedule"}]


def pod_fields(gpu: Gpu | None) -> Manifest:
    """Fields of the pod's spec."""
    fields: Manifest = {}
    if gpu is not None and gpu.runtime_class_name:
        fields["runtimeClassName"] = gpu.runtime_class_name
    if gpu is not None and gpu.resource_claim_template_name:
        fields["resourceClaims"] = [{"name": CLAIM, "resourceClaimTemplateName": gpu.resource_claim_template_name}]
    return fields
