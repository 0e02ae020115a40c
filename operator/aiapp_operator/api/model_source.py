"""Where weights come from: a model's, or an adapter's, and where they are kept."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, ModelName, Rule, SecretKeyRef, SecretRef, Storage

_PATH = r"[-A-Za-z0-9_./]"
SOURCE_PATTERN = (
    rf"^(hf://[A-Za-z0-9][-A-Za-z0-9_.]*/[A-Za-z0-9][-A-Za-z0-9_.]*(/{_PATH}+)?"
    rf"|s3://[a-z0-9][a-z0-9.-]*[a-z0-9]/[A-Za-z0-9_]{_PATH}*"
    rf"|image://[A-Za-z0-9][-A-Za-z0-9_./:@]*#/{_PATH}+"
    rf"|oci://[A-Za-z0-9][-A-Za-z0-9_./:@]*(#/{_PATH}+)?"
    rf"|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/{_PATH}+"
    rf"|file:///{_PATH}+)$"
)


class ModelStore(ApiModel):
    """A store with the S3 API that holds weights."""

    endpoint: Annotated[str, Field(max_length=2048, pattern=r"^$|^https?://[^\s/?#@]+$")] = Field(
        default="", description="Address of the store, as https://s3.example.com; empty means AWS S3 of the region."
    )
    region: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9-]*$")] = Field(
        default="", description="Region of the bucket; needed for AWS S3, other stores mostly do without."
    )
    path_style: bool | None = Field(
        default=None,
        description=(
            "true: the bucket is named in the path of an address, false: in its host name. Unset: in the path where "
            "endpoint is given."
        ),
    )
    credentials_secret_ref: SecretRef = Field(
        description="Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which may read the bucket."
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.endpoint) && self.endpoint != '' || has(self.region) && self.region != ''",
            "model.s3: give endpoint, or for AWS S3 the region of the bucket",
        ),
    )


class ModelSource(ApiModel):
    """Where the weights come from."""

    source: Annotated[str, Field(min_length=1, max_length=1024, pattern=SOURCE_PATTERN)] = Field(
        description=(
            "hf://ORG/NAME[/FILE] of the Hugging Face hub; s3://BUCKET/KEY of a store with the S3 API, a folder where "
            "KEY ends in a slash; image://IMAGE#/PATH copies PATH out of an image, which needs the command cp; "
            "oci://IMAGE[#/PATH] mounts an image as a volume, which Kubernetes 1.35 does (containerd 2.1 or newer); "
            "pvc://CLAIM/PATH reads a claim of this namespace; file:///PATH is part of the engine's image."
        ),
    )
    revision: Annotated[str, Field(max_length=128, pattern=r"^[-A-Za-z0-9_./]*$")] = Field(
        default="",
        description=(
            "Branch, tag or commit of an hf:// source; empty means its main branch. Of an s3:// source any text: a new "
            "one downloads it again."
        ),
    )
    secret_ref: SecretKeyRef | None = Field(
        default=None, description="Token for an hf:// source that is not public, or that is rate limited."
    )
    s3: ModelStore | None = Field(
        default=None, description="The store of an s3:// source; unset: that of spec.objectStore.s3."
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.revision) || self.revision == '' || self.source.startsWith('hf://') || "
            "self.source.startsWith('s3://')",
            "revision is for hf:// and s3:// sources only: remove it",
        ),
        Rule(
            "!has(self.secretRef) || self.source.startsWith('hf://')",
            "secretRef is for hf:// sources only: remove it, an s3:// source takes s3.credentialsSecretRef",
        ),
        Rule("!has(self.s3) || self.source.startsWith('s3://')", "s3 is for s3:// sources only: remove it"),
        Rule("!self.source.contains('..')", "source must not contain '..'"),
    )


class Adapter(ModelSource):
    """A LoRA adapter: a model name of its own that shares the weights of the model."""

    name: ModelName = Field(description="Its name; spec.models[].backends[].model refers to it.")
    cel: ClassVar[tuple[Rule, ...]] = (
        *ModelSource.cel,
        Rule(
            "self.source.startsWith('s3://') || self.source.startsWith('file://') || "
            "self.source.matches('^hf://[^/]+/[^/]+$')",
            "adapters[].source: adapters come from hf://ORG/NAME, s3:// or file:///",
        ),
    )


class CacheAccess(StrEnum):
    """How many nodes may use the volume at the same time."""

    ONE_NODE = "ReadWriteOnce"
    MANY_NODES = "ReadWriteMany"


class ModelCache(Storage):
    """The volume that downloads are kept on. It has to hold the old and the new model while one replaces the other."""

    access_mode: CacheAccess = Field(
        default=CacheAccess.ONE_NODE,
        description=(
            "ReadWriteOnce: all pods are on one node. ReadWriteMany, where the storage class has it: pods on any node "
            "share the download. Cannot change."
        ),
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        *Storage.cel,
        Rule(
            "(has(self.accessMode) ? self.accessMode : 'ReadWriteOnce') == "
            "(has(oldSelf.accessMode) ? oldSelf.accessMode : 'ReadWriteOnce')",
            "cache.accessMode cannot change: set it back, or rename this inference entry",
        ),
    )
