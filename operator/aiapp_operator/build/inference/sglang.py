"""SGLang's OpenAI-compatible server."""

from aiapp_operator.api.inference import Inference
from aiapp_operator.build.inference.engine import CACHE, EngineSpec, Metrics, gpu_count, shared_memory
from aiapp_operator.build.inference.source import LocalPath, Weights, hub_environment, whole_repository
from aiapp_operator.build.pod import mount
from aiapp_operator.config import Settings

METRICS = Metrics(running="sglang:num_running_reqs", waiting="sglang:num_queue_reqs")


def spec(inference: Inference, weights: Weights, settings: Settings) -> EngineSpec:
    """Serve the model under the entry's name, split over all GPUs of the pod.

    Raises:
        Stalled: the source cannot be served by this engine; reason InvalidSpec.
    """
    gpus = gpu_count(inference)
    args = ["--served-model-name", inference.name, "--host", "0.0.0.0", "--port", str(inference.port)]  # noqa: S104  # a pod
    args.append("--enable-metrics")
    if gpus > 1:
        args += ["--tp-size", str(gpus)]
    if inference.context_length is not None:
        args += ["--context-length", str(inference.context_length)]
    if inference.gpu is None:
        args += ["--device", "cpu"]
    return EngineSpec(
        image=inference.image or settings.images.sglang,
        command=("python3", "-m", "sglang.launch_server"),
        args=(*_model(inference, weights), *args, *inference.args),
        # A user without an entry in the image's passwd has neither a name nor a home.
        env=(("HOME", CACHE), ("USER", "aiapp"), ("HF_HOME", CACHE), *hub_environment(inference, settings)),
        volumes=(shared_memory(gpus),),
        mounts=(mount("shm", "/dev/shm"),),  # noqa: S108  # inside the container
        # It answers once the model is loaded; some versions generate a token for it, which takes a second.
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
        return ["--model-path", place.path]
    whole_repository(inference, place)
    return ["--model-path", place.repo, *(["--revision", place.revision] if place.revision else [])]
