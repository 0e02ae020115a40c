"""What an engine adds to the pod of a model server."""

from dataclasses import dataclass

from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.quantity import binary, parse
from aiapp_operator.build.duration import seconds
from aiapp_operator.build.pod import empty_dir

CACHE = "/cache"
_GIB = 1024**3
_SHARED_MEMORY_PER_GPU = 2 * _GIB
_SHARED_MEMORY_AT_MOST = 16 * _GIB
# A pod without a cache volume may download a large model over a slow network.
_LOAD_SECONDS_AT_LEAST = 30 * 60
_LOAD_SECONDS_ANYWAY = 10 * 60
_LOAD_SECONDS_PER_GIB = 15  # of a volume that is no faster than 70 MB/s


@dataclass(frozen=True)
class Metrics:
    """Where an engine tells of itself, and by which names: requests that it works on, and that wait in it."""

    running: str
    waiting: str
    path: str = "/metrics"


@dataclass(frozen=True)
class EngineSpec:
    """Command line and environment of an engine, and its defaults for compute resources."""

    image: str
    args: tuple[str, ...]
    health: str  # path that answers 200 once the model is loaded
    command: tuple[str, ...] = ()  # empty: the image's own entrypoint
    env: tuple[tuple[str, str], ...] = ()
    volumes: tuple[Manifest, ...] = ()
    mounts: tuple[Manifest, ...] = ()
    cpu: str = "500m"
    memory: str = "1Gi"
    limit: str = "8Gi"
    metrics: Metrics | None = None  # None: not known, so nobody can tell when it has nothing to do


def gpu_count(inference: Inference) -> int:
    """GPUs that the model is split over."""
    return inference.gpu.count if inference.gpu is not None else 1


def shared_memory(gpus: int) -> Manifest:
    """Processes of an engine exchange tensors through shared memory; the default of 64 MiB is too small."""
    return empty_dir("shm", binary(min(gpus * _SHARED_MEMORY_PER_GPU, _SHARED_MEMORY_AT_MOST)), memory=True)


def load_seconds(inference: Inference) -> int:
    """How long a pod may take until it answers."""
    if inference.load_timeout is not None:
        return max(1, int(seconds(inference.load_timeout)))
    size = float(parse(inference.cache.size)) / _GIB if inference.cache is not None else 0.0
    return max(_LOAD_SECONDS_AT_LEAST, _LOAD_SECONDS_ANYWAY + int(size * _LOAD_SECONDS_PER_GIB))


def drain_seconds(inference: Inference) -> int:
    """How long a pod that has to stop may go on with its requests."""
    return int(seconds(inference.drain_timeout))
