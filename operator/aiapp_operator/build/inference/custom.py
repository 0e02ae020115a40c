"""An image of the user's own that serves the OpenAI API: its entrypoint, with the arguments given.

Where a model is given, the container finds it by AIAPP_MODEL: a path, or ORG/NAME of the Hugging Face
hub, with AIAPP_MODEL_FILE and AIAPP_MODEL_REVISION where these are given. Arguments may refer to them
as $(AIAPP_MODEL).
"""

from aiapp_operator.api.inference import Inference
from aiapp_operator.build.inference.engine import CACHE, EngineSpec
from aiapp_operator.build.inference.source import LocalPath, Weights, hub_environment
from aiapp_operator.config import Settings


def spec(inference: Inference, weights: Weights, settings: Settings) -> EngineSpec:
    """Run the image as it is."""
    return EngineSpec(
        image=inference.image,
        args=tuple(inference.args),
        env=(
            ("AIAPP_MODEL_NAME", inference.name),
            ("PORT", str(inference.port)),
            *_model(weights),
            *hub_environment(inference, settings),
        ),
        health="/v1/models",
    )


def _model(weights: Weights) -> list[tuple[str, str]]:
    place = weights.place
    if place is None:
        return []
    if isinstance(place, LocalPath):
        return [("AIAPP_MODEL", place.path)]
    optional = [("AIAPP_MODEL_FILE", place.file), ("AIAPP_MODEL_REVISION", place.revision)]
    return [("AIAPP_MODEL", place.repo), ("HF_HOME", CACHE), *((name, value) for name, value in optional if value)]
