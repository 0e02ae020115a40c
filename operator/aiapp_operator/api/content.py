"""What is done to what is said: prompts, cache, guardrails."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field

from aiapp_operator.api.base import (
    ApiModel,
    Decimal,
    Duration,
    ModelName,
    ObjectName,
    PartName,
    Rule,
    SecretKey,
    SecretKeyRef,
)

_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
PromptVersion = Annotated[
    str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
]


class ConfigMapKeyRef(ApiModel):
    """One key of a ConfigMap of the AIApp's own namespace."""

    name: ObjectName = Field(description="Name of a ConfigMap in the namespace of this AIApp.")
    key: SecretKey = Field(description="Key inside the ConfigMap's data.")


class Prompt(ApiModel):
    """One version of a prompt template."""

    name: PartName = Field(description="Name that clients send as prompt.id.")
    version: PromptVersion = Field(
        description="Version that clients send as prompt.version; without one they get the highest."
    )
    config_map_ref: ConfigMapKeyRef = Field(description="ConfigMap entry with the template. Read again on change.")


class ExactCache(ApiModel):
    """Answers to the very same request."""

    ttl: Duration = Field(default="10m", description="How long an answer is kept.")


class SemanticCache(ApiModel):
    """Answers to requests that mean the same."""

    embedding_model: ModelName = Field(description="Name of an entry of spec.models with kind Embedding.")
    threshold: Decimal = Field(
        default="0.95",
        description='Cosine similarity from which on two requests mean the same, "0.8" to "1".',
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "double(self) >= 0.8 && double(self) <= 1.0",
                    "message": "threshold has to be between 0.8 and 1: below that other questions are answered",
                }
            ]
        },
    )
    ttl: Duration = Field(default="1h", description="How long an answer is kept.")


class Cache(ApiModel):
    """Caches of answers, apart for each tenant."""

    exact: ExactCache | None = Field(default=None, description="Answers to the very same request, kept in Redis.")
    semantic: SemanticCache | None = Field(
        default=None, description="Answers to requests that mean the same, kept in PostgreSQL with pgvector."
    )


class GuardrailKind(StrEnum):
    """What a guardrail looks for."""

    PII = "PII"
    PROMPT_INJECTION = "PromptInjection"
    PATTERN = "Pattern"
    SECRETS = "Secrets"
    LENGTH = "Length"
    TOPICS = "Topics"
    JSON_SCHEMA = "JSONSchema"
    MODERATION = "Moderation"


class GuardrailStage(StrEnum):
    """What it looks at."""

    INPUT = "Input"
    OUTPUT = "Output"


class GuardrailAction(StrEnum):
    """What it does."""

    BLOCK = "Block"
    REDACT = "Redact"
    AUDIT = "Audit"


def _needs(kind: GuardrailKind, field: str, present: str, words: str) -> tuple[Rule, ...]:
    return (
        Rule(f"self.kind != '{kind}' || ({present})", f"{field} is required for kind {kind}: {words}"),
        Rule(f"self.kind == '{kind}' || !has(self.{field})", f"{field} is for kind {kind} only: remove it"),
    )


class Guardrail(ApiModel):
    """One rule for what clients send or models answer."""

    name: PartName = Field(description="Name of this guardrail, in answers and metrics.")
    kind: GuardrailKind = Field(
        description="PII, PromptInjection, Pattern, Secrets, Length, Topics, JSONSchema or Moderation."
    )
    stages: list[GuardrailStage] = Field(
        default_factory=lambda: [GuardrailStage.INPUT],
        min_length=1,
        max_length=2,
        description="Input: what clients send. Output: what models answer.",
        json_schema_extra=_SET,
    )
    action: GuardrailAction = Field(
        default=GuardrailAction.BLOCK,
        description="Block refuses, Redact replaces what was found (PII, Pattern, Secrets), Audit only counts.",
    )
    patterns: list[Annotated[str, Field(min_length=1, max_length=1024)]] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Regular expressions in RE2 syntax, for kind Pattern.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    max_characters: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Longest text that passes, for kind Length."
    )
    topics: list[Annotated[str, Field(min_length=1, max_length=128)]] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Words and phrases that are not talked about, for kind Topics.",
        json_schema_extra=_SET,
    )
    schema_ref: ConfigMapKeyRef | None = Field(
        default=None, description="ConfigMap entry with the JSON schema that answers have to fit, for kind JSONSchema."
    )
    url: Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s]+$")] | None = Field(
        default=None, description="Endpoint with OpenAI's moderations API, for kind Moderation."
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None, description="API key of that endpoint, for kind Moderation."
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        *_needs(GuardrailKind.PATTERN, "patterns", "has(self.patterns)", "at least one regular expression"),
        *_needs(GuardrailKind.LENGTH, "maxCharacters", "has(self.maxCharacters)", "the longest text that passes"),
        *_needs(GuardrailKind.TOPICS, "topics", "has(self.topics)", "at least one word or phrase"),
        *_needs(GuardrailKind.JSON_SCHEMA, "schemaRef", "has(self.schemaRef)", "a ConfigMap entry with the schema"),
        *_needs(GuardrailKind.MODERATION, "url", "has(self.url)", "the endpoint to ask"),
        Rule(
            "self.kind == 'Moderation' || !has(self.apiKeySecretRef)",
            "apiKeySecretRef is for kind Moderation only: remove it",
        ),
        Rule(
            "!has(self.action) || self.action != 'Redact' || self.kind in ['PII', 'Pattern', 'Secrets']",
            "action Redact is for the kinds PII, Pattern and Secrets: use Block or Audit",
        ),
        Rule(
            "self.kind != 'JSONSchema' || (has(self.stages) && self.stages == ['Output'])",
            "kind JSONSchema looks at answers: set stages: [Output]",
        ),
    )
