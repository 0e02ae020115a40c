"""spec.providers and spec.models: where answers come from and the names clients ask for."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, Decimal, Duration, ModelName, PartName, Rule, SecretKeyRef


class ProviderKind(StrEnum):
    """The wire protocol of a provider."""

    OPENAI = "OpenAI"
    ANTHROPIC = "Anthropic"
    GOOGLE = "Google"
    OPENAI_COMPATIBLE = "OpenAICompatible"
    MOCK = "Mock"


class ResponsesMode(StrEnum):
    """How a provider is asked for responses."""

    RELAY = "Relay"
    TRANSLATE = "Translate"


class Provider(ApiModel):
    """An LLM provider outside this AIApp."""

    name: PartName = Field(description="Name of this provider; models refer to it.")
    kind: ProviderKind = Field(
        description="OpenAI, Anthropic, Google, OpenAICompatible, or Mock: deterministic answers for tests and demos."
    )
    base_url: Annotated[str, Field(max_length=2048, pattern=r"^$|^https?://[^\s]+$")] = Field(
        default="",
        alias="baseURL",
        description="URL with the version part, for example https://llm.example.com/v1. Required for OpenAICompatible.",
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="The provider's API key. Required for OpenAI, Anthropic and Google. Read again when it changes.",
    )
    fine_tuning: bool = Field(
        default=False,
        description="Whether clients may train models there by /v1/fine_tuning/jobs. Budgets do not count training.",
    )
    responses: ResponsesMode | None = Field(
        default=None,
        description="How /v1/responses is asked there. Relay: passed on as it is, for providers with a Responses API of"
        " their own. Translate: as chat completions. Unset: Relay with kind OpenAI, else Translate.",
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.responses) || self.responses != 'Relay' || self.kind in ['OpenAI', 'OpenAICompatible']",
            "responses: Relay is for the kinds OpenAI and OpenAICompatible: remove it, or set Translate",
        ),
        Rule(
            "!self.fineTuning || self.kind in ['OpenAI', 'OpenAICompatible']",
            "fineTuning is for the kinds OpenAI and OpenAICompatible: remove it",
        ),
        Rule(
            "self.kind != 'OpenAICompatible' || (has(self.baseURL) && self.baseURL != '')",
            "baseURL is required for kind OpenAICompatible",
        ),
        Rule(
            "!(self.kind in ['OpenAI', 'Anthropic', 'Google']) || has(self.apiKeySecretRef)",
            "apiKeySecretRef is required for the kinds OpenAI, Anthropic and Google",
        ),
        Rule(
            "self.kind != 'Mock' || (!has(self.apiKeySecretRef) && (!has(self.baseURL) || self.baseURL == ''))",
            "kind Mock takes neither baseURL nor apiKeySecretRef: remove them",
        ),
    )


class TokenPrices(ApiModel):
    """US dollars per one million tokens. Decimal strings, so that nothing is rounded on the way."""

    input_per_1m: Decimal = Field(
        alias="inputPer1M", description='Price of one million input tokens, for example "0.15".'
    )
    output_per_1m: Decimal = Field(default="0", alias="outputPer1M", description="Price of one million output tokens.")
    cached_input_per_1m: Decimal | None = Field(
        default=None,
        alias="cachedInputPer1M",
        description="Price of one million cached input tokens; unset: as other input.",
    )
    cache_write_per_1m: Decimal | None = Field(
        default=None,
        alias="cacheWritePer1M",
        description="Price of one million input tokens that the provider puts into its cache; unset: as other input.",
    )
    audio_input_per_1m: Decimal | None = Field(
        default=None,
        alias="audioInputPer1M",
        description="Price of one million input tokens of audio; unset: as other input.",
    )
    audio_output_per_1m: Decimal | None = Field(
        default=None,
        alias="audioOutputPer1M",
        description="Price of one million output tokens of audio; unset: as other output.",
    )
    reasoning_per_1m: Decimal | None = Field(
        default=None,
        alias="reasoningPer1M",
        description="Price of one million output tokens that a model reasons with; unset: as other output.",
    )


class LongContextPrice(TokenPrices):
    """What all tokens of a request cost whose input is long. Nothing is taken over from the price beside it."""

    over_tokens: int = Field(
        ge=1,
        le=2_000_000_000,
        description="Requests with more input tokens than this cost these prices, all of their tokens.",
    )


class Price(TokenPrices):
    """What the provider's invoice charges for tokens."""

    long_context: LongContextPrice | None = Field(
        default=None,
        description="Prices of requests with a long input, where the provider has such; unset: as all others.",
    )


class Backend(ApiModel):
    """One place that can answer for a model."""

    inference: PartName | None = Field(default=None, description="Name of an entry of spec.inference.")
    provider: PartName | None = Field(default=None, description="Name of an entry of spec.providers.")
    model: ModelName | None = Field(
        default=None,
        description=(
            "With a provider, required: the name that it knows. With inference: one of its adapters, or what an engine "
            "of kind custom calls its model; left out for the model of the entry itself."
        ),
    )
    weight: int = Field(
        default=1,
        ge=0,
        le=1_000_000,
        description="Share of requests, with strategy Weighted; 0: only when others fail.",
    )
    price: Price | None = Field(
        default=None,
        description=(
            "What its tokens cost; unset: the list price of well-known models of OpenAI, Anthropic and Google, else "
            "counted as unknown, never as free."
        ),
    )
    context_window: int | None = Field(
        default=None,
        ge=1,
        le=2_000_000_000,
        description="Tokens that fit; longer requests go to the next backend. Unset: tried, and passed on if refused.",
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.inference) != has(self.provider)", "give exactly one of inference, provider"),
        Rule(
            "!has(self.provider) || has(self.model)",
            "model is required with provider: the name that the provider knows",
        ),
    )


class ModelKind(StrEnum):
    """What clients ask a model for."""

    CHAT = "Chat"
    EMBEDDING = "Embedding"


class Strategy(StrEnum):
    """In which order backends are tried."""

    PRIORITY = "Priority"
    WEIGHTED = "Weighted"
    LEAST_BUSY = "LeastBusy"
    LATENCY = "Latency"
    COST = "Cost"


class Timeouts(ApiModel):
    """How long each phase of a request may take before the next backend is tried or the request ends."""

    connect: Duration = Field(default="5s", description="To connect to a backend.")
    first_token: Duration = Field(
        default="30s", description="From the request to the first token; then the next backend is tried."
    )
    idle: Duration = Field(default="30s", description="Between two chunks of a stream.")
    total: Duration = Field(default="10m", description="For the whole request.")


class Model(ApiModel):
    """A model name that clients ask for."""

    name: ModelName = Field(description='The name clients send as "model".')
    kind: ModelKind = Field(default=ModelKind.CHAT, description="Chat or Embedding.")
    strategy: Strategy = Field(
        default=Strategy.PRIORITY,
        description=(
            "Which backend is tried first: Priority (as listed), Weighted (by weight), LeastBusy (fewest requests), "
            "Latency (fastest lately), Cost (cheapest)."
        ),
    )
    backends: list[Backend] = Field(
        min_length=1,
        max_length=16,
        description="The next one is tried when one fails before its first token.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Limits of each phase of a request.")
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.strategy) || self.strategy != 'Weighted' || "
            "self.backends.exists(b, !has(b.weight) || b.weight > 0)",
            "backends[].weight: with strategy Weighted at least one has to be more than 0",
        ),
    )
