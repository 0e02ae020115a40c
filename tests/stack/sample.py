"""What a sample needs to run on a cluster that cannot reach a registry: the local model image, one API key."""

import copy

from tests.stack.kube import Manifest

KEYS_SECRET = "assistant-keys"
API_KEY = "demo-key-not-a-secret"
MODEL_PATH = "/models/gemma-3-270m.gguf"


def with_local_model(app: Manifest, model_image: str) -> Manifest:
    """`app` with its image:// models taken out of `model_image`, everything else as it is."""
    changed = copy.deepcopy(app)
    for entry in changed["spec"].get("inference", []):
        if entry.get("model", {}).get("source", "").startswith("image://"):
            entry["model"]["source"] = f"image://{model_image}#{MODEL_PATH}"
    return changed
