"""vLLM's OpenAI-compatible server."""

from aiapp_operator.api.inference import Inference
from aiapp_operator.build.inference.engine import CACHE, EngineSpec, Metrics, gpu_count, shared_memory
from aiapp_operator.build.inference.source import LocalPath, Weights, adapter_path, hub_environment, whole_repository
from aiapp_operator.build.pod import mount
from aiapp_operator.config import Settings

METRICS = Metrics(running="vllm:num_requests_running", waiting="vllm:num_requests_waiting")


def spec(inference: Inference, weights: Weights, settings: Settings) -> EngineSpec:
    """Serve the model under the entry's name, and its adapters under theirs, split over all GPUs of the pod.

    Raises:
        Stalled: the source cannot be served by this engine; reason InvalidSpec.
    """
    gpus = gpu_count(inference)
    args = ["--served-model-name", inference.name, "--host", "0.0.0.0", "--port", str(inference.port)]  # noqa: S104  # a pod
    if gpus > 1:
        args += ["--tensor-parallel-size", str(gpus)]
    if inference.context_length is not None:
        args += ["--max-model-len", str(inference.context_length)]
    if inference.adapters:
        args += ["--enable-lora", "--max-loras", str(len(inference.adapters)), "--lora-modules"]
        args += [f"{adapter.name}={adapter_path(inference, adapter)}" for adapter in inference.adapters]
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
            *hub_environment(inference, settings),
        ),
        volumes=(shared_memory(gpus),),
        mounts=(mount("shm", "/dev/shm"),),  # noqa: S108  # inside the container
        health="/health",
        cpu="1",
        memory="8Gi",
        limit="32Gi",
        metrics=METRICS,
    )


def _model(inference: Inference, weights: Weights) -> list[str]:
    place = weights.place
    if place is None:
        return []
    if isinstance(place, LocalPath):
        return [place.path]
    whole_repository(inference, place)
    return [place.repo, *(["--revision", place.revision] if place.revision else [])]
