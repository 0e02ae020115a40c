"""AIApp: the resource as a whole."""

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field

from aiapp_operator.api.access import Budget
from aiapp_operator.api.base import ApiModel, Image, Rule, Toggle
from aiapp_operator.api.content import Cache, Guardrail, Prompt
from aiapp_operator.api.data import ManagedPostgres, ManagedRedis, Postgres, Redis
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.models import Model, Provider
from aiapp_operator.api.monitoring import Monitoring
from aiapp_operator.api.retrieval import VectorStore
from aiapp_operator.api.serving import Api, Worker
from aiapp_operator.api.sleep import Sleep, State
from aiapp_operator.api.status import AIAppStatus
from aiapp_operator.api.storage import ObjectStore

GROUP = "aiapp.dev"
VERSION = "v1alpha1"
KIND = "AIApp"
PLURAL = "aiapps"

_NAMED: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


class DeletionPolicy(StrEnum):
    """What happens to Postgres, Redis and model data when the AIApp is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class AIAppSpec(ApiModel):
    """What the application should be."""

    suspend: bool = Field(
        default=False, description="true: the operator touches nothing of this AIApp until it is false again."
    )
    state: State = Field(
        default=State.RUNNING,
        description=(
            "Running, or Sleeping: no pods, data kept, and every request is answered with 503 and Retry-After until it "
            "is Running again."
        ),
    )
    sleep: Sleep = Field(default_factory=Sleep, description="How the application sleeps.")
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN,
        description=(
            "Retain keeps volumes and generated passwords when the AIApp is deleted, and an AIApp of the same name "
            "takes them over; Delete removes them."
        ),
    )
    image: Image = Field(default="", description="Image of the bundled service; empty means the operator's default.")
    api: Api = Field(default_factory=Api, description="The OpenAI-compatible API.")
    workers: list[Worker] = Field(
        default_factory=list, max_length=16, description="Background workers.", json_schema_extra=_NAMED
    )
    inference: list[Inference] = Field(
        default_factory=list,
        max_length=16,
        description="Model servers run by the operator.",
        json_schema_extra=_NAMED,
    )
    providers: list[Provider] = Field(
        default_factory=list,
        max_length=32,
        description="LLM providers outside this AIApp.",
        json_schema_extra=_NAMED,
    )
    models: list[Model] = Field(
        default_factory=list,
        max_length=64,
        description="Model names that clients ask for.",
        json_schema_extra=_NAMED,
    )
    prompts: list[Prompt] = Field(
        default_factory=list,
        max_length=128,
        description="Versions of prompt templates that clients use by name.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "version"]},
    )
    cache: Cache | None = Field(default=None, description="Caches of answers; unset: none.")
    guardrails: list[Guardrail] = Field(
        default_factory=list,
        max_length=32,
        description="Rules for what clients send and models answer, in the order in which they are applied.",
        json_schema_extra=_NAMED,
    )
    budgets: list[Budget] = Field(
        default_factory=list,
        max_length=16,
        description="US dollars that may be spent, over all API pods.",
        json_schema_extra=_NAMED,
    )
    postgres: Postgres = Field(
        default_factory=lambda: Postgres(managed=ManagedPostgres()),
        description="The SQL database: managed (default), cloudNativePG or external.",
    )
    redis: Redis = Field(
        default_factory=lambda: Redis(managed=ManagedRedis()),
        description="The job queue and cache: managed (default) or external.",
    )
    object_store: ObjectStore | None = Field(
        default=None,
        description="Where files and backups are kept; unset: nowhere, and /v1/files says so.",
    )
    vector_store: VectorStore | None = Field(
        default=None, description="Where the vectors of vector stores are kept; unset: no vector stores."
    )
    migrations: Toggle = Field(
        default_factory=Toggle,
        description="Schema migrations that run before each new revision of the service.",
    )
    monitoring: Monitoring = Field(default_factory=Monitoring, description="What the application tells about itself.")
    network_policy: Toggle = Field(
        default_factory=Toggle,
        description="NetworkPolicies that let only this AIApp's pods reach its databases and model servers.",
    )
    pod_disruption_budget: Toggle = Field(
        default_factory=Toggle,
        description="PodDisruptionBudget that keeps the API up while nodes are drained.",
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.models) || self.models.all(m, m.backends.all(b, !has(b.provider) || "
            "(has(self.providers) && self.providers.exists(p, p.name == b.provider))))",
            "models[].backends[].provider: every provider must be the name of an entry of spec.providers",
        ),
        Rule(
            "!has(self.models) || self.models.all(m, m.backends.all(b, !has(b.inference) || "
            "(has(self.inference) && self.inference.exists(i, i.name == b.inference))))",
            "models[].backends[].inference: every inference must be the name of an entry of spec.inference",
        ),
        Rule(
            "!has(self.cache) || !has(self.cache.semantic) || (has(self.models) && self.models.exists(m, "
            "m.name == self.cache.semantic.embeddingModel && has(m.kind) && m.kind == 'Embedding'))",
            "cache.semantic.embeddingModel must be the name of an entry of spec.models with kind Embedding",
        ),
        Rule(
            "has(self.objectStore) || (!has(self.postgres.backup) && !has(self.postgres.restoreFrom))",
            "postgres.backup and postgres.restoreFrom need an object store: set objectStore.s3",
        ),
        Rule(
            "!has(self.vectorStore) || !has(self.vectorStore.embeddingModel) || (has(self.models) && "
            "self.models.exists(m, m.name == self.vectorStore.embeddingModel && has(m.kind) && "
            "m.kind == 'Embedding'))",
            "vectorStore.embeddingModel must be the name of an entry of spec.models with kind Embedding",
        ),
    )


class AIApp(ApiModel):
    """An AI application: API, workers, model servers and the databases they need, run as one."""

    # Read as the API server sends it: metadata is Kubernetes' own and not described here.
    api_version: str = f"{GROUP}/{VERSION}"
    kind: str = KIND
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: AIAppSpec = Field(default_factory=AIAppSpec, description="What the application should be.")
    status: AIAppStatus | None = Field(default=None, description="What the application is; written by the operator.")
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name: at most 40 characters, lower case letters, digits and '-', starting with a letter",
        ),
        Rule(
            "!has(self.spec.inference) || self.spec.inference.all(i, size(self.metadata.name) + size(i.name) <= 47)",
            "spec.inference[].name: together with metadata.name at most 47 characters: both are in a Service's name",
        ),
    )

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        """metadata.namespace; `default` for an object that was never stored (offline rendering)."""
        return str(self.metadata.get("namespace", "default"))

    @property
    def uid(self) -> str:
        """metadata.uid; empty for an object that was never stored."""
        return str(self.metadata.get("uid", ""))

    @property
    def generation(self) -> int:
        """metadata.generation; counts changes of the spec."""
        return int(self.metadata.get("generation", 1))
