"""What is done to what is said: prompts, guardrails, caches."""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PlainSerializer, model_validator

from aiapp_service.config.base import Section


class PromptConfig(Section):
    """One version of a prompt template; clients name it in `prompt: {id, version, variables}`."""

    name: str
    version: str
    file: Path


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
    """What it looks at: what clients send, or what models answer."""

    INPUT = "Input"
    OUTPUT = "Output"


class GuardrailAction(StrEnum):
    """What it does about it. Audit only counts."""

    BLOCK = "Block"
    REDACT = "Redact"
    AUDIT = "Audit"


# The others judge a text as a whole.
_FIND_PLACES = frozenset({GuardrailKind.PII, GuardrailKind.PATTERN, GuardrailKind.SECRETS, GuardrailKind.TOPICS})


class GuardrailConfig(Section):
    """One guardrail; which of the further fields it has follows from its kind."""

    name: str
    kind: GuardrailKind
    stages: tuple[GuardrailStage, ...] = (GuardrailStage.INPUT,)
    action: GuardrailAction = GuardrailAction.BLOCK
    patterns: tuple[str, ...] = Field(default=(), description="Pattern: RE2 expressions.")
    max_characters: int | None = Field(default=None, ge=1, description="Length: of all messages, or of the answer.")
    topics: tuple[str, ...] = Field(default=(), description="Topics: words and phrases that are not talked about.")
    schema_file: Path | None = Field(default=None, description="JSONSchema: file with the schema of the answer.")
    url: str | None = Field(default=None, description="Moderation: endpoint with OpenAI's /v1/moderations API.")
    api_key_file: Path | None = Field(default=None, description="Moderation: file with the endpoint's key.")

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed = {
            GuardrailKind.PATTERN: ("patterns", self.patterns),
            GuardrailKind.LENGTH: ("maxCharacters", self.max_characters),
            GuardrailKind.TOPICS: ("topics", self.topics),
            GuardrailKind.JSON_SCHEMA: ("schemaFile", self.schema_file),
            GuardrailKind.MODERATION: ("url", self.url),
        }
        field, value = needed.get(self.kind, ("", True))
        if not value:
            raise ValueError(f"guardrail {self.name}: {field} is required for kind {self.kind}")
        return self

    @model_validator(mode="after")
    def _action_fits_its_kind(self) -> Self:
        if self.action is GuardrailAction.REDACT and self.kind not in _FIND_PLACES:
            raise ValueError(f"guardrail {self.name}: kind {self.kind} finds nothing to redact: take Block or Audit")
        if self.kind is GuardrailKind.JSON_SCHEMA and self.stages != (GuardrailStage.OUTPUT,):
            raise ValueError(f"guardrail {self.name}: kind JSONSchema is for answers: stages: [Output]")
        return self


class ExactCacheConfig(Section):
    """Answers to the very same request, from Redis. `ttl` in seconds."""

    ttl: float = Field(default=600, gt=0)


class SemanticCacheConfig(Section):
    """Answers to requests that mean the same, from PostgreSQL with pgvector. `ttl` in seconds."""

    embedding_model: str
    threshold: Annotated[Decimal, PlainSerializer(str, when_used="json")] = Field(
        default=Decimal("0.95"), ge=Decimal("0.8"), le=1, description="Cosine similarity from which on it is a hit."
    )
    ttl: float = Field(default=3600, gt=0)


class CacheConfig(Section):
    """Which caches there are."""

    exact: ExactCacheConfig | None = None
    semantic: SemanticCacheConfig | None = None
