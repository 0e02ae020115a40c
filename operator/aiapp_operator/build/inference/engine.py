"""What an engine adds to the pod of a model server."""

from dataclasses import dataclass

from aiapp_operator.api.manifest import Manifest

CACHE = "/cache"


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
