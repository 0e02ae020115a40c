"""The configuration of the service: the one contract between operator and service.

The operator renders a `ServiceConfig` into a ConfigMap, the service reads it from
`/etc/aiapp/config.yaml`. Nothing in it is secret: credentials are given as paths of files that
are mounted from Secrets and read again whenever they change. Everything is optional, so that
`aiapp-service api` also runs on a laptop without Postgres, Redis or a provider.

Durations are seconds, prices are US dollars per one million tokens, as decimal strings.
"""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.alias_generators import to_camel

DEFAULT_PATH = Path("/etc/aiapp/config.yaml")
API_PORT = 8080
WORKER_PORT = 8081

Price = Annotated[Decimal, Field(ge=0), PlainSerializer(str, when_used="json")]


class _Section(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class ProviderKind(StrEnum):
    """The wire protocol of a provider; Mock answers deterministically without a network."""

    OPENAI = "OpenAI"
    OPENAI_COMPATIBLE = "OpenAICompatible"
    MOCK = "Mock"


class ModelKind(StrEnum):
    """What a model is asked for: chat completions or embeddings."""

    CHAT = "Chat"
    EMBEDDING = "Embedding"


class AuthConfig(_Section):
    """Who may call. Without keys and without `anonymous` every call is refused with 401."""

    anonymous: bool = False
    api_keys_dir: Path | None = Field(
        default=None, description="Directory of key files: the file name is the client, the content its key."
    )


class ProviderConfig(_Section):
    """An external provider of models."""

    name: str
    kind: ProviderKind
    base_url: str | None = Field(default=None, alias="baseURL", description="With the version part: .../v1")
    api_key_file: Path | None = None

    @model_validator(mode="after")
    def _base_url_known(self) -> Self:
        if self.kind is ProviderKind.OPENAI_COMPATIBLE and not self.base_url:
            raise ValueError(f"provider {self.name}: baseURL is required for kind OpenAICompatible")
        return self


class InferenceConfig(_Section):
    """An inference deployment of this app, reached through its Service."""

    name: str
    base_url: str = Field(alias="baseURL", description="With the version part: http://host:port/v1")


class PriceConfig(_Section):
    """US dollars per one million tokens, as the provider's invoice states them."""

    input_per_1m: Price = Field(alias="inputPer1M")
    output_per_1m: Price = Field(default=Decimal(0), alias="outputPer1M")
    cached_input_per_1m: Price | None = Field(default=None, alias="cachedInputPer1M")


class BackendConfig(_Section):
    """Where a model's requests go: one of `inference` and `provider`, by name."""

    inference: str | None = None
    provider: str | None = None
    model: str = Field(description="The model name sent upstream.")
    price: PriceConfig | None = None

    @property
    def name(self) -> str:
        """Unique within a model; the `backend` label of metrics."""
        return f"{self.inference or self.provider}/{self.model}"


class TimeoutsConfig(_Section):
    """Seconds until the next backend is tried (connect, firstToken) or the request ends (idle, total)."""

    connect: float = Field(default=5, gt=0)
    first_token: float = Field(default=30, gt=0)
    idle: float = Field(default=30, gt=0)
    total: float = Field(default=600, gt=0)


class ModelConfig(_Section):
    """A name that clients ask for, and the backends behind it in order of preference."""

    name: str
    kind: ModelKind = ModelKind.CHAT
    backends: tuple[BackendConfig, ...]
    timeouts: TimeoutsConfig = TimeoutsConfig()


class DatabaseConfig(_Section):
    """PostgreSQL; the file holds one postgresql:// URL."""

    url_file: Path
    pool_max: int = Field(default=10, ge=1)


class RedisConfig(_Section):
    """Redis; the file holds one redis:// or rediss:// URL."""

    url_file: Path


class WorkerConfig(_Section):
    """A worker deployment: the queues it serves and how many jobs each process runs at once."""

    name: str
    queues: tuple[str, ...]
    concurrency: int = Field(default=5, ge=1)


class ServiceConfig(_Section):
    """The whole file."""

    app: str = "aiapp"
    auth: AuthConfig = AuthConfig()
    providers: tuple[ProviderConfig, ...] = ()
    inference: tuple[InferenceConfig, ...] = ()
    models: tuple[ModelConfig, ...] = ()
    workers: tuple[WorkerConfig, ...] = ()
    database: DatabaseConfig | None = None
    redis: RedisConfig | None = None
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


def load(path: Path) -> ServiceConfig:
    """Read the file at `path`.

    Raises:
        OSError: the file cannot be read.
        pydantic.ValidationError: a field is wrong; the message names it.
        yaml.YAMLError: the file is not YAML.
    """
    return ServiceConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def dump(config: ServiceConfig) -> str:
    """`config` as YAML text; the same configuration always gives the same bytes."""
    data = config.model_dump(mode="json", by_alias=True, exclude_none=True)
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
