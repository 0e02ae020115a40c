"""spec.providers and spec.models: where answers come from and the names clients ask for."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, Decimal, Duration, ModelName, PartName, Rule, SecretKeyRef


class ProviderKind(StrEnum):
    """The wire protocol of a provider."""

    OPENAI = "OpenAI"
    OPENAI_COMPATIBLE = "OpenAICompatible"
    MOCK = "Mock"


class Provider(ApiModel):
    """An LLM provider outside this AIApp."""

    name: PartName = Field(description="Name of this provider; models refer to it.")
    kind: ProviderKind = Field(
        description="OpenAI, OpenAICompatible, or Mock: deterministic answers for tests and demos."
    )
    base_url: Annotated[str, Field(max_length=2048, pattern=r"^$|^https?://[^\s]+$")] = Field(
        default="",
        alias="baseURL",
        description="URL with the version part, for example https://llm.example.com/v1. Required for OpenAICompatible.",
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="The provider's API key. Required for OpenAI. Read again when the Secret changes.",
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.kind != 'OpenAICompatible' || (has(self.baseURL) && self.baseURL != '')",
            "baseURL is required for kind OpenAICompatible",
        ),
        Rule(
            "self.kind != 'OpenAI' || has(self.apiKeySecretRef)",
            "apiKeySecretRef is required for kind OpenAI",
        ),
        Rule(
            "self.kind != 'Mock' || (!has(self.apiKeySecretRef) && (!has(self.baseURL) || self.baseURL == ''))",
            "kind Mock takes neither baseURL nor apiKeySecretRef: remove them",
        ),
    )


class Price(ApiModel):
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


class Backend(ApiModel):
    """One place that can answer for a model."""

    inference: PartName | None = Field(default=None, description="Name of an entry of spec.inference.")
    provider: PartName | None = Field(default=None, description="Name of an entry of spec.providers.")
    model: ModelName | None = Field(
        default=None,
        description="Model name sent to the backend. Required for providers; ignored by single-model engines.",
    )
    price: Price | None = Field(
        default=None, description="What its tokens cost; unset: counted as unknown, never as free."
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
    backends: list[Backend] = Field(
        min_length=1,
        max_length=16,
        description="In order of preference: the next one is tried when one fails before its first token.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Limits of each phase of a request.")
