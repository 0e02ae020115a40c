"""llama.cpp's `llama-server`."""

from aiapp_operator.api.inference import Inference
from aiapp_operator.build.inference.engine import CACHE, EngineSpec, Metrics
from aiapp_operator.build.inference.source import LocalPath, Weights, hub_environment
from aiapp_operator.config import Settings
from aiapp_operator.errors import Stalled

METRICS = Metrics(running="llamacpp:requests_processing", waiting="llamacpp:requests_deferred")
# The upstream image keeps the binary at /app, distributions on PATH.
_START = 'exec "$(command -v llama-server || echo /app/llama-server)" "$@"'


def spec(inference: Inference, weights: Weights, settings: Settings) -> EngineSpec:
    """Serve the model under the entry's name.

    Raises:
        Stalled: the source cannot be served by this engine; reason InvalidSpec.
    """
    args = ["--host", "0.0.0.0", "--port", str(inference.port), "--alias", inference.name, "--metrics"]  # noqa: S104  # a pod
    args += _model(inference, weights, settings)
    if inference.context_length is not None:
        args += ["--ctx-size", str(inference.context_length)]
    if inference.gpu is not None:
        args += ["--n-gpu-layers", "999"]  # all of them
    return EngineSpec(
        image=inference.image or settings.images.llamacpp,
        command=("/bin/sh", "-c", _START, "llama-server"),
        args=(*args, *inference.args),
        env=(("LLAMA_CACHE", CACHE), *hub_environment(inference, settings)),
        health="/health",
        metrics=METRICS,
    )


def _model(inference: Inference, weights: Weights, settings: Settings) -> list[str]:
    place = weights.place
    if place is None:
        return []
    if isinstance(place, LocalPath):
        return ["--model", place.path]
    if not place.revision:
        return ["--hf-repo", place.repo, *(["--hf-file", place.file] if place.file else [])]
    if not place.file:
        raise Stalled(
            "InvalidSpec",
            f"spec.inference[{inference.name}].model: engine llamaCpp takes a revision only together with a file: "
            "add /FILE.gguf to source or remove revision",
        )
    return ["--model-url", f"{settings.hub_url}/{place.repo}/resolve/{place.revision}/{place.file}"]
