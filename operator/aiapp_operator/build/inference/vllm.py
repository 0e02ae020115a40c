"""vLLM's OpenAI-compatible server."""

from aiapp_operator.api.inference import Inference
from aiapp_operator.api.quantity import binary
from aiapp_operator.build.inference.engine import CACHE, EngineSpec
from aiapp_operator.build.inference.source import LocalPath, Weights
from aiapp_operator.build.pod import empty_dir, mount
from aiapp_operator.config import Settings
from aiapp_operator.errors import Stalled

_GIB = 1024**3
_SHARED_MEMORY_PER_GPU = 2 * _GIB
_SHARED_MEMORY_AT_MOST = 16 * _GIB


def spec(inference: Inference, weights: Weights, settings: Settings) -> EngineSpec:
    """Serve the model under the entry's name, split over all GPUs of the pod.

    Raises:
        Stalled: the source cannot be served by this engine; reason InvalidSpec.
    """
    gpus = inference.gpu.count if inference.gpu is not None else 1
    args = ["--served-model-name", inference.name, "--host", "0.0.0.0", "--port", str(inference.port)]  # noqa: S104  # a pod
    if gpus > 1:
        args += ["--tensor-parallel-size", str(gpus)]
    # Its processes exchange tensors through shared memory; the container default of 64 MiB is too small.
    shared_memory = binary(min(gpus * _SHARED_MEMORY_PER_GPU, _SHARED_MEMORY_AT_MOST))
    return EngineSpec(
        image=inference.image or settings.images.vllm,
        command=("vllm", "serve"),
        args=(*_model(inference, weights), *args, *inference.args),
        # A user without an entry in the image's passwd has neither a name nor a home.
        env=(
            ("HOME", CACHE),
            ("USER", "aiapp"),
            ("HF_HOME", CACHE),
            ("VLLM_NO_USAGE_STATS", "1"),
        ),
        volumes=(empty_dir("shm", shared_memory, memory=True),),
        mounts=(mount("shm", "/dev/shm"),),  # noqa: S108  # inside the container
        health="/health",
        cpu="1",
        memory="8Gi",
        limit="32Gi",
    )


def _model(inference: Inference, weights: Weights) -> list[str]:
    place = weights.place
    if place is None:
        return []
    if isinstance(place, LocalPath):
        return [place.path]
    if place.file:
        raise Stalled(
            "InvalidSpec",
            f"spec.inference[{inference.name}].model.source: engine vLLM serves whole repositories: "
            f"write hf://{place.repo}",
        )
    return [place.repo, *(["--revision", place.revision] if place.revision else [])]
