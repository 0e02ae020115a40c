"""spec.inference: model servers run by the operator, on GPU or CPU."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from aiapp_operator.api import engine_flags
from aiapp_operator.api.autoscaling import InferenceAutoscaling
from aiapp_operator.api.base import ApiModel, Argument, Duration, Image, PartName, Resources, Rule
from aiapp_operator.api.model_source import Adapter, ModelCache, ModelSource
from aiapp_operator.api.models import ResponsesMode


class Engine(StrEnum):
    """The inference server."""

    VLLM = "vLLM"
    SGLANG = "SGLang"
    LLAMA_CPP = "llamaCpp"
    CUSTOM = "custom"


class RolloutStrategy(StrEnum):
    """How a changed inference Deployment replaces its pods."""

    RECREATE = "Recreate"
    ROLLING_UPDATE = "RollingUpdate"


class Gpu(ApiModel):
    """GPUs of one pod."""

    count: int = Field(default=1, ge=1, le=64, description="GPUs for each pod; tensor parallelism uses all of them.")
    resource_name: Annotated[
        str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-A-Za-z0-9_.]+$")
    ] = Field(default="nvidia.com/gpu", description="Extended resource that the GPU's device plugin offers.")
    resource_claim_template_name: Annotated[
        str, Field(max_length=253, pattern=r"^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    ] = Field(
        default="",
        description=(
            "ResourceClaimTemplate of this namespace that asks for the GPUs of a pod (dynamic resource allocation, "
            "Kubernetes 1.34 or newer); takes the place of resourceName. count says how many it asks for."
        ),
    )
    runtime_class_name: Annotated[str, Field(max_length=253, pattern=r"^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] = Field(
        default="",
        description="RuntimeClass of the pods, for example nvidia; empty means the node's default.",
    )


class Rollout(ApiModel):
    """How a changed inference Deployment replaces its pods."""

    strategy: RolloutStrategy | None = Field(
        default=None,
        description=(
            "Recreate or RollingUpdate. Unset: Recreate with gpu or cache, where a second pod would wait for the GPU "
            "or the volume that the first one holds; else RollingUpdate."
        ),
    )


class TolerationEffect(StrEnum):
    """Which effect of a taint is tolerated."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class TolerationOperator(StrEnum):
    """How a toleration compares with a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class Toleration(ApiModel):
    """A taint that the pods tolerate."""

    key: Annotated[str, Field(max_length=316)] = Field(
        default="", description="Taint key; empty with operator Exists means every taint."
    )
    operator: TolerationOperator = Field(default=TolerationOperator.EQUAL, description="Exists or Equal.")
    value: Annotated[str, Field(max_length=63)] = Field(default="", description="Taint value, for operator Equal.")
    effect: TolerationEffect | None = Field(default=None, description="Effect to tolerate; unset means all effects.")
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
            "a toleration without a key needs operator: Exists",
        ),
        Rule(
            "!(has(self.operator) && self.operator == 'Exists') || !has(self.value) || self.value == ''",
            "a toleration with operator Exists has no value: remove it",
        ),
    )


TopologyKey = Annotated[str, Field(max_length=317, pattern=r"^([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9][-A-Za-z0-9_.]*$")]


class Placement(ApiModel):
    """Which nodes may run the pods."""

    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=16, description="Labels that a node must have."
    )
    tolerations: list[Toleration] = Field(
        default_factory=list,
        max_length=16,
        description="Taints the pods tolerate.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    priority_class_name: Annotated[str, Field(max_length=253, pattern=r"^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] = Field(
        default="", description="PriorityClass of the pods; empty means the cluster's default."
    )
    spread_over: list[TopologyKey] = Field(
        default_factory=list,
        max_length=4,
        description=(
            "Labels of nodes, as topology.kubernetes.io/zone or kubernetes.io/hostname: pods are spread over their "
            "values as far as that can be."
        ),
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    queue: Annotated[str, Field(max_length=63, pattern=r"^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] = Field(
        default="",
        description="LocalQueue of Kueue that admits the pods, where Kueue is installed; empty: none.",
    )


class Inference(ApiModel):
    """One model server: a Deployment and a Service."""

    name: PartName = Field(description="Name of this model server; models refer to it.")
    engine: Engine = Field(
        description="vLLM, SGLang, llamaCpp, or custom: an image of your own that serves the OpenAI API."
    )
    image: Image = Field(
        default="",
        description="Image of the engine; empty means the operator's default. Required for engine custom.",
    )
    port: int = Field(
        default=8000,
        ge=1024,
        le=65535,
        description="Port on which the engine serves the OpenAI API under /v1.",
    )
    model: ModelSource | None = Field(
        default=None, description="Which model to serve. Required unless the engine is custom."
    )
    adapters: list[Adapter] = Field(
        default_factory=list,
        max_length=16,
        description="LoRA adapters, for engine vLLM: model names of their own on the same weights.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    context_length: int | None = Field(
        default=None,
        ge=128,
        le=100_000_000,
        description="Tokens that a conversation may have at most; unset: as many as the model was made for.",
    )
    gpu: Gpu | None = Field(default=None, description="GPUs of the pod; absent means that the model runs on CPU.")
    args: list[Argument] = Field(
        default_factory=list,
        max_length=64,
        description="Arguments appended to the engine's command line. Those that the operator sets are refused.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    resources: Resources = Field(
        default_factory=Resources, description="Compute resources of the pod besides its GPUs."
    )
    cache: ModelCache | None = Field(
        default=None,
        description=(
            "Volume that an hf:// or s3:// source is downloaded to once, for all pods; absent: each new pod downloads "
            "an hf:// source again."
        ),
    )
    load_timeout: Duration | None = Field(
        default=None,
        description=(
            "How long a pod may take until it answers; then it is started again. Unset: half an hour, and longer where "
            "cache.size is more than 80Gi."
        ),
    )
    drain_timeout: Duration = Field(
        default="5m",
        description=(
            "How long a pod that has to stop may go on with the requests it works on; it stops as soon as it has none. "
            "With engine custom it is told to stop at once and has as long to do so."
        ),
    )
    autoscaling: InferenceAutoscaling | None = Field(
        default=None, description="Let a HorizontalPodAutoscaler decide the number of pods; unset: one pod."
    )
    placement: Placement = Field(default_factory=Placement, description="Which nodes may run the pod.")
    rollout: Rollout = Field(default_factory=Rollout, description="How a change replaces the pod.")
    responses: ResponsesMode = Field(
        default=ResponsesMode.TRANSLATE,
        description="How /v1/responses is asked there. Relay: passed on as it is, for engines with a Responses API of"
        " their own, such as recent vLLM. Translate: as chat completions.",
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.engine != 'custom' || (has(self.image) && self.image != '')",
            "image is required with engine custom",
        ),
        Rule(
            "self.engine == 'custom' || has(self.model)",
            "model is required unless the engine is custom: set model.source",
        ),
        Rule(
            "self.engine != 'llamaCpp' || !has(self.gpu) || (has(self.image) && self.image != '')",
            "image is required with engine llamaCpp and gpu: the default image runs on CPU only",
        ),
        Rule(
            "!(self.engine in ['vLLM', 'SGLang']) || !has(self.model) || !self.model.source.startsWith('hf://') || "
            "self.model.source.matches('^hf://[^/]+/[^/]+$')",
            "model.source: vLLM and SGLang take hf://ORG/NAME without a file: remove what follows the name",
        ),
        Rule(
            "self.engine != 'llamaCpp' || !has(self.cache) || !has(self.model) || "
            "self.model.source.matches('^(hf|s3)://.+[.]gguf$')",
            "model.source: llamaCpp with cache needs the file: hf://ORG/NAME/FILE.gguf or s3://BUCKET/KEY.gguf",
        ),
        Rule(
            "self.engine != 'llamaCpp' || !has(self.model) || !has(self.model.revision) || "
            "self.model.revision == '' || self.model.source.matches('^(hf://[^/]+/[^/]+/.+|s3://.*)$')",
            "model.source: llamaCpp needs hf://ORG/NAME/FILE where a revision is given: add the file",
        ),
        Rule(
            "!has(self.cache) || (has(self.model) && self.model.source.matches('^(hf|s3)://.*'))",
            "cache is for hf:// and s3:// sources only: remove it",
        ),
        Rule(
            "has(self.cache) || ((!has(self.model) || !self.model.source.startsWith('s3://')) && "
            "(!has(self.adapters) || !self.adapters.exists(a, a.source.startsWith('s3://'))))",
            "cache is required with an s3:// source: set cache.size",
        ),
        Rule(
            "!has(self.adapters) || size(self.adapters) == 0 || self.engine == 'vLLM'",
            "adapters are for engine vLLM only: remove them",
        ),
        *engine_flags.rules(),
        Rule(
            "has(self.cache) == has(oldSelf.cache) || !has(oldSelf.cache)",
            "cache cannot be removed in place: rename this inference entry instead",
        ),
    )
