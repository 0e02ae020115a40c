"""The configuration of the service: the one contract between operator and service.

The operator renders a `ServiceConfig` into a ConfigMap, the service reads it from
`/etc/aiapp/config.yaml`. Nothing in it is secret: credentials are given as paths of files that
are mounted from Secrets and read again whenever they change. Everything is optional, so that
`aiapp-service api` also runs on a laptop without Postgres, Redis or a provider.

Durations are seconds, prices are US dollars per one million tokens, as decimal strings.
"""

from pathlib import Path
from typing import Self

import yaml
from pydantic import Field, IPvAnyNetwork, model_validator

from aiapp_service.config.access import (
    AuthConfig,
    BudgetAction,
    BudgetConfig,
    BudgetPeriod,
    BudgetScope,
    CorsConfig,
    JwtConfig,
    LimitScope,
    RateLimitConfig,
)
from aiapp_service.config.base import Section, WrongConfig
from aiapp_service.config.content import (
    CacheConfig,
    ExactCacheConfig,
    GuardrailAction,
    GuardrailConfig,
    GuardrailKind,
    GuardrailStage,
    PromptConfig,
    SemanticCacheConfig,
)
from aiapp_service.config.models import (
    BackendConfig,
    InferenceConfig,
    LongContextPrices,
    ModelConfig,
    ModelKind,
    PriceConfig,
    ProviderConfig,
    ProviderKind,
    ResponsesMode,
    Strategy,
    TimeoutsConfig,
    TokenPrices,
)
from aiapp_service.config.retrieval import PgvectorConfig, PineconeConfig, QdrantConfig, VectorStoreConfig
from aiapp_service.config.storage import FilesConfig, ObjectStoreConfig

__all__ = [
    "API_PORT",
    "DEFAULT_PATH",
    "WORKER_PORT",
    "AuthConfig",
    "BackendConfig",
    "BudgetAction",
    "BudgetConfig",
    "BudgetPeriod",
    "BudgetScope",
    "CacheConfig",
    "CorsConfig",
    "DatabaseConfig",
    "ExactCacheConfig",
    "FilesConfig",
    "GuardrailAction",
    "GuardrailConfig",
    "GuardrailKind",
    "GuardrailStage",
    "InferenceConfig",
    "JwtConfig",
    "LimitScope",
    "LongContextPrices",
    "ModelConfig",
    "ModelKind",
    "ObjectStoreConfig",
    "PgvectorConfig",
    "PineconeConfig",
    "PriceConfig",
    "PromptConfig",
    "ProviderConfig",
    "ProviderKind",
    "QdrantConfig",
    "QueueRateConfig",
    "RateLimitConfig",
    "RedisConfig",
    "ResponsesMode",
    "SemanticCacheConfig",
    "ServiceConfig",
    "Strategy",
    "TimeoutsConfig",
    "TokenPrices",
    "TracingConfig",
    "VectorStoreConfig",
    "WorkerConfig",
    "WrongConfig",
    "dump",
    "load",
    "mock_config",
]

DEFAULT_PATH = Path("/etc/aiapp/config.yaml")
API_PORT = 8080
WORKER_PORT = 8081


class DatabaseConfig(Section):
    """PostgreSQL; the file holds one postgresql:// URL."""

    url_file: Path
    pool_max: int = Field(default=8, ge=1)


class RedisConfig(Section):
    """Redis; the file holds one redis:// or rediss:// URL."""

    url_file: Path


class QueueRateConfig(Section):
    """How many jobs of each queue are begun within a time, by all workers together."""

    max: int = Field(ge=1)
    per_seconds: int = Field(default=1, ge=1)


class WorkerConfig(Section):
    """A worker deployment: the queues it serves and how many jobs each process runs at once."""

    name: str
    queues: tuple[str, ...]
    concurrency: int = Field(default=5, ge=1)
    rate_limit: QueueRateConfig | None = None


class TracingConfig(Section):
    """OpenTelemetry traces, sent by OTLP over HTTP. `content`: with what was asked and answered."""

    endpoint: str
    content: bool = False


class ServiceConfig(Section):
    """The whole file."""

    app: str = "aiapp"
    auth: AuthConfig = AuthConfig()
    rate_limit: RateLimitConfig = RateLimitConfig()
    budgets: tuple[BudgetConfig, ...] = ()
    fail_open: bool = Field(default=True, description="Whether requests go on while limits cannot be asked for.")
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(default=(), description="Whose X-Forwarded-For is believed.")
    cors: CorsConfig = CorsConfig()
    fetch_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts that URLs inside requests may name; `host:port` where the port is not the usual."
    )
    providers: tuple[ProviderConfig, ...] = ()
    inference: tuple[InferenceConfig, ...] = ()
    models: tuple[ModelConfig, ...] = ()
    prompts: tuple[PromptConfig, ...] = ()
    guardrails: tuple[GuardrailConfig, ...] = ()
    cache: CacheConfig = CacheConfig()
    workers: tuple[WorkerConfig, ...] = ()
    database: DatabaseConfig | None = None
    redis: RedisConfig | None = None
    cache_redis: RedisConfig | None = Field(default=None, description="For cached answers; else they go to `redis`.")
    object_store: ObjectStoreConfig | None = None
    files: FilesConfig = FilesConfig()
    vector_store: VectorStoreConfig = VectorStoreConfig()
    tracing: TracingConfig | None = None
    drain_seconds: float = Field(default=30, ge=0, description="How long running streams may finish on stop.")

    @model_validator(mode="after")
    def _backends_exist(self) -> Self:
        providers = {p.name for p in self.providers}
        inference = {i.name for i in self.inference}
        for model in self.models:
            for backend in model.backends:
                if (backend.provider is None) == (backend.inference is None):
                    raise ValueError(f"model {model.name}: a backend names exactly one of provider, inference")
                if backend.provider is not None and backend.provider not in providers:
                    raise ValueError(f"model {model.name}: no provider is named {backend.provider}")
                if backend.inference is not None and backend.inference not in inference:
                    raise ValueError(f"model {model.name}: no inference is named {backend.inference}")
        return self

    @model_validator(mode="after")
    def _embedding_model_exists(self) -> Self:
        semantic = self.cache.semantic
        embedding = {model.name for model in self.models if model.kind is ModelKind.EMBEDDING}
        if semantic is not None and semantic.embedding_model not in embedding:
            raise ValueError(f"cache.semantic.embeddingModel: no embedding model is named {semantic.embedding_model}")
        wanted = self.vector_store.embedding_model
        if wanted is not None and wanted not in embedding:
            raise ValueError(f"vectorStore.embeddingModel: no embedding model is named {wanted}")
        return self

    def structural(self) -> "ServiceConfig":
        """The part that only a start takes in; everything else is read again while the service runs."""
        return ServiceConfig(
            app=self.app,
            database=self.database,
            redis=self.redis,
            cache_redis=self.cache_redis,
            object_store=self.object_store,
            # Its embedding model may change while the service runs: stores that exist keep theirs.
            vector_store=self.vector_store.model_copy(update={"embedding_model": None}),
            workers=self.workers,
            tracing=self.tracing,
            drain_seconds=self.drain_seconds,
        )


def load(path: Path) -> ServiceConfig:
    """Read the file at `path`.

    Raises:
        OSError: the file cannot be read.
        pydantic.ValidationError: a field is wrong; the message names it.
        yaml.YAMLError: the file is not YAML.
    """
    return ServiceConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def dump(config: ServiceConfig) -> str:
    """`config` as YAML text; the same configuration always gives the same bytes.

    What is as by default is left out: a new field does not change the text of those who do not use it.
    """
    data = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=True, allow_unicode=True, width=100)


def mock_config() -> ServiceConfig:
    """What runs without a file: the Mock provider for chat and embeddings, open to everybody."""
    return ServiceConfig(
        auth=AuthConfig(anonymous=True),
        providers=(ProviderConfig(name="mock", kind=ProviderKind.MOCK),),
        models=(
            ModelConfig(name="chat", backends=(BackendConfig(provider="mock", model="mock-chat"),)),
            ModelConfig(
                name="embed",
                kind=ModelKind.EMBEDDING,
                backends=(BackendConfig(provider="mock", model="mock-embedding"),),
            ),
        ),
    )
