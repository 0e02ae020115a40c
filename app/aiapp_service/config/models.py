"""Where answers come from: providers, inference, models."""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from aiapp_service.config.base import Dollars, Section


class ProviderKind(StrEnum):
    """The wire protocol of a provider; Mock answers deterministically without a network."""

    OPENAI = "OpenAI"
    ANTHROPIC = "Anthropic"
    GOOGLE = "Google"
    OPENAI_COMPATIBLE = "OpenAICompatible"
    MOCK = "Mock"


class ResponsesMode(StrEnum):
    """How /v1/responses is asked at a provider: in its own Responses API, or translated to chat completions."""

    RELAY = "Relay"
    TRANSLATE = "Translate"


class ModelKind(StrEnum):
    """What a model is asked for: chat completions or embeddings."""

    CHAT = "Chat"
    EMBEDDING = "Embedding"


class Strategy(StrEnum):
    """In which order the backends of a model are tried."""

    PRIORITY = "Priority"
    WEIGHTED = "Weighted"
    LEAST_BUSY = "LeastBusy"
    LATENCY = "Latency"
    COST = "Cost"


class ProviderConfig(Section):
    """An external provider of models."""

    name: str
    kind: ProviderKind
    base_url: str | None = Field(default=None, alias="baseURL", description="With the version part: .../v1")
    api_key_file: Path | None = None
    fine_tuning: bool = Field(
        default=False, description="Whether clients may train models there; budgets do not count what that costs."
    )

    responses: ResponsesMode | None = Field(
        default=None, description="How /v1/responses is asked there; unset: Relay with kind OpenAI, else Translate."
    )

    @property
    def relays_responses(self) -> bool:
        """Whether it is asked in the Responses API."""
        wanted = self.responses
        return self.kind is ProviderKind.OPENAI if wanted is None else wanted is ResponsesMode.RELAY

    @model_validator(mode="after")
    def _base_url_known(self) -> Self:
        if self.kind is ProviderKind.OPENAI_COMPATIBLE and not self.base_url:
            raise ValueError(f"provider {self.name}: baseURL is required for kind OpenAICompatible")
        if self.fine_tuning and self.kind not in (ProviderKind.OPENAI, ProviderKind.OPENAI_COMPATIBLE):
            raise ValueError(f"provider {self.name}: fineTuning is for kind OpenAI or OpenAICompatible")
        if self.relays_responses and self.kind not in (ProviderKind.OPENAI, ProviderKind.OPENAI_COMPATIBLE):
            raise ValueError(f"provider {self.name}: responses: Relay is for kind OpenAI or OpenAICompatible")
        return self


class InferenceConfig(Section):
    """An inference deployment of this app, reached through its Service."""

    name: str
    base_url: str = Field(alias="baseURL", description="With the version part: http://host:port/v1")
    pods_host: str = Field(
        default="", description="Name that resolves to the addresses of its pods; empty: that of baseURL."
    )
    wake_seconds: float = Field(
        default=0, ge=0, description="It may have no pods: how long a request waits for one. 0: it always has some."
    )
    responses: ResponsesMode = Field(
        default=ResponsesMode.TRANSLATE, description="How /v1/responses is asked there: Relay or Translate."
    )

    @property
    def relays_responses(self) -> bool:
        """Whether it is asked in the Responses API."""
        return self.responses is ResponsesMode.RELAY


class TokenPrices(Section):
    """US dollars per one million tokens; what is not given costs as much as what it is a part of."""

    input_per_1m: Dollars = Field(alias="inputPer1M")
    output_per_1m: Dollars = Field(default=Decimal(0), alias="outputPer1M")
    cached_input_per_1m: Dollars | None = Field(default=None, alias="cachedInputPer1M")
    cache_write_per_1m: Dollars | None = Field(default=None, alias="cacheWritePer1M")
    audio_input_per_1m: Dollars | None = Field(default=None, alias="audioInputPer1M")
    audio_output_per_1m: Dollars | None = Field(default=None, alias="audioOutputPer1M")
    reasoning_per_1m: Dollars | None = Field(default=None, alias="reasoningPer1M")


class LongContextPrices(TokenPrices):
    """What all tokens of a request cost whose input is longer than `overTokens`."""

    over_tokens: int = Field(ge=1)


class PriceConfig(TokenPrices):
    """Prices as the provider's invoice states them."""

    long_context: LongContextPrices | None = None


class BackendConfig(Section):
    """Where a model's requests go: one of `inference` and `provider`, by name."""

    inference: str | None = None
    provider: str | None = None
    model: str = Field(description="The model name sent upstream.")
    weight: int = Field(default=1, ge=0, description="Share of requests with the strategy Weighted.")
    price: PriceConfig | None = None
    context_window: int | None = Field(default=None, ge=1, description="Tokens; longer requests go to the next one.")

    @property
    def name(self) -> str:
        """Unique within a model; the `backend` label of metrics."""
        return f"{self.inference or self.provider}/{self.model}"


class TimeoutsConfig(Section):
    """Seconds until the next backend is tried (connect, firstToken) or the request ends (idle, total)."""

    connect: float = Field(default=5, gt=0)
    first_token: float = Field(default=30, gt=0)
    idle: float = Field(default=30, gt=0)
    total: float = Field(default=600, gt=0)


class ModelConfig(Section):
    """A name that clients ask for, and the backends behind it in order of preference."""

    name: str
    kind: ModelKind = ModelKind.CHAT
    strategy: Strategy = Strategy.PRIORITY
    backends: tuple[BackendConfig, ...]
    timeouts: TimeoutsConfig = TimeoutsConfig()
