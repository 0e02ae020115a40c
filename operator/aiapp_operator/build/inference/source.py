"""Where a model's weights come from, and what a pod needs to have them."""

from dataclasses import dataclass
from posixpath import basename

from aiapp_operator.api.inference import ModelSource
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.build.pod import container, empty_dir, mount

MODELS = "/models"
COPY = "copy-model"
# Where the copying container sees the volume: not at MODELS, which its image may well use itself.
_COPY_TARGET = "/aiapp-models"


@dataclass(frozen=True)
class HuggingFace:
    """A repository of the Hugging Face hub; `file` is empty for the whole repository."""

    repo: str
    file: str
    revision: str


@dataclass(frozen=True)
class LocalPath:
    """A path inside the engine's container."""

    path: str


@dataclass(frozen=True)
class Weights:
    """A source, and what it adds to the pod."""

    place: HuggingFace | LocalPath | None = None
    init_containers: tuple[Manifest, ...] = ()
    volumes: tuple[Manifest, ...] = ()
    mounts: tuple[Manifest, ...] = ()


def weights(model: ModelSource) -> Weights:
    """Read `model.source`; its form was checked when it was accepted."""
    scheme, _, rest = model.source.partition("://")
    if scheme == "hf":
        organisation, name, *file = rest.split("/", 2)
        return Weights(HuggingFace(f"{organisation}/{name}", "".join(file).strip("/"), model.revision))
    if scheme == "image":
        return _from_image(*rest.split("#", 1))
    if scheme == "pvc":
        return _from_claim(*rest.split("/", 1))
    return Weights(LocalPath(rest))


def _from_image(image: str, path: str) -> Weights:
    path = path.rstrip("/")
    # `cp` alone, without a shell: an image that holds a model need not hold more.
    copy = container(
        COPY,
        image,
        command=["cp", "-rL", path, f"{_COPY_TARGET}/"],
        resources={"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "1Gi"}},
        volumeMounts=[mount("models", _COPY_TARGET)],
    )
    return Weights(
        LocalPath(f"{MODELS}/{basename(path)}"),
        init_containers=(copy,),
        volumes=(empty_dir("models"),),
        mounts=(mount("models", MODELS, read_only=True),),
    )


def _from_claim(claim: str, path: str) -> Weights:
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return Weights(
        LocalPath(f"{MODELS}/{path.strip('/')}"),
        volumes=(volume,),
        mounts=(mount("models", MODELS, read_only=True),),
    )
