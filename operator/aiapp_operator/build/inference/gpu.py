"""GPUs in a pod: the resource, the runtime class, and the taint that GPU nodes usually carry."""

from aiapp_operator.api.inference import Gpu
from aiapp_operator.api.manifest import Manifest


def with_gpu(resources: Manifest, gpu: Gpu | None) -> Manifest:
    """Container resources with the GPUs added; extended resources are requested and limited alike."""
    if gpu is None:
        return resources
    count = {gpu.resource_name: str(gpu.count)}
    return {name: dict(sorted((values | count).items())) for name, values in resources.items()}


def tolerations(gpu: Gpu | None) -> list[Manifest]:
    """GPU nodes are commonly tainted with the name of the resource, to keep other pods away."""
    if gpu is None:
        return []
    return [{"key": gpu.resource_name, "operator": "Exists", "effect": "NoSchedule"}]


def runtime_class(gpu: Gpu | None) -> Manifest:
    """Fields of the pod's spec."""
    return {"runtimeClassName": gpu.runtime_class_name} if gpu is not None and gpu.runtime_class_name else {}
