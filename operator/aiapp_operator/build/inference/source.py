"""Where a model's weights come from, and what a pod needs to have them."""

from dataclasses import dataclass
from posixpath import basename

from aiapp_operator.api.inference import Engine, Inference
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.model_source import Adapter, ModelSource
from aiapp_operator.build.digest import digest
from aiapp_operator.build.pod import container, empty_dir, mount
from aiapp_operator.config import HUB, Settings
from aiapp_operator.errors import Stalled

MODELS = "/models"
COPY = "copy-model"
CACHE_VOLUME = "downloads"
# Folder of the cache volume that holds what is downloaded whole; the downloader's own work is beside it.
COMPLETE = "models"
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


def weights(inference: Inference, claim: str) -> Weights:
    """What the entry's model adds; `claim` is the cache volume. The source's form was checked when it was accepted."""
    model = inference.model
    if model is None:
        return Weights()
    if is_cached(inference, model):
        return _from_cache(inference, model, claim)
    scheme, _, rest = model.source.partition("://")
    if scheme == "hf":
        organisation, name, *file = rest.split("/", 2)
        return Weights(HuggingFace(f"{organisation}/{name}", "".join(file).strip("/"), model.revision))
    builders = {"image": _from_image, "oci": _from_image_volume, "pvc": _from_claim}
    return builders[scheme](rest) if scheme in builders else Weights(LocalPath(rest))


def is_cached(inference: Inference, source: ModelSource) -> bool:
    """Whether the source is downloaded to the cache volume, once for all pods."""
    return inference.cache is not None and source.source.startswith(("hf://", "s3://"))


def hub_environment(inference: Inference, settings: Settings) -> tuple[tuple[str, str], ...]:
    """Where the engine's own client of the hub looks: with a volume nowhere, since the pod has no network."""
    if inference.cache is not None:
        return (("HF_HUB_OFFLINE", "1"),)
    return (("HF_ENDPOINT", settings.hub_url),) if settings.hub_url != HUB else ()


def identity(source: ModelSource) -> str:
    """Names what a source gives: another source, revision or store is another download."""
    store = source.s3.model_dump(mode="json", exclude={"credentials_secret_ref"}) if source.s3 is not None else None
    return digest([source.source, source.revision, store])


def file_of(inference: Inference, source: ModelSource) -> str:
    """The one file that is meant, as a path below the download; empty for a whole repository or folder."""
    scheme, _, rest = source.source.partition("://")
    if scheme == "hf":
        return "".join(rest.split("/", 2)[2:]).strip("/")
    whole = rest.endswith("/") or inference.engine in {Engine.VLLM, Engine.SGLANG}
    return "" if whole else basename(rest)


def adapter_path(inference: Inference, adapter: Adapter) -> str:
    """Where the engine finds an adapter: a path, or ORG/NAME of the hub."""
    if is_cached(inference, adapter):
        return f"{MODELS}/{identity(adapter)}"
    return adapter.source.partition("://")[2]


def whole_repository(inference: Inference, place: HuggingFace) -> None:
    """Refuse a file where the engine serves repositories.

    Raises:
        Stalled: reason InvalidSpec.
    """
    if place.file:
        raise Stalled(
            "InvalidSpec",
            f"spec.inference[{inference.name}].model.source: engine {inference.engine.value} serves whole "
            f"repositories: write hf://{place.repo}",
        )


def _from_cache(inference: Inference, model: ModelSource, claim: str) -> Weights:
    file = file_of(inference, model)
    path = f"{MODELS}/{identity(model)}"
    if not file and inference.engine is Engine.LLAMA_CPP:
        words = "engine llamaCpp with cache needs the file: add /FILE.gguf"
        raise Stalled("InvalidSpec", f"spec.inference[{inference.name}].model.source: {words}")
    if file and inference.engine in {Engine.VLLM, Engine.SGLANG}:
        whole_repository(inference, HuggingFace("/".join(model.source.split("/")[2:4]), file, model.revision))
    # Not read-only as a volume: that would need a claim of its own kind; the mount is.
    volume = {"name": CACHE_VOLUME, "persistentVolumeClaim": {"claimName": claim}}
    complete = {**mount(CACHE_VOLUME, MODELS, read_only=True), "subPath": COMPLETE}
    return Weights(LocalPath(f"{path}/{file}" if file else path), volumes=(volume,), mounts=(complete,))


def _from_image(rest: str) -> Weights:
    image, _, path = rest.rstrip("/").partition("#")
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


def _from_image_volume(rest: str) -> Weights:
    image, _, path = rest.rstrip("/").partition("#")
    volume = {"name": "models", "image": {"reference": image, "pullPolicy": "IfNotPresent"}}
    return Weights(
        LocalPath(f"{MODELS}{path}"),
        volumes=(volume,),
        mounts=(mount("models", MODELS, read_only=True),),
    )


def _from_claim(rest: str) -> Weights:
    claim, _, path = rest.partition("/")
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return Weights(
        LocalPath(f"{MODELS}/{path.strip('/')}"),
        volumes=(volume,),
        mounts=(mount("models", MODELS, read_only=True),),
    )
