"""spec.prompts, spec.guardrails and spec.cache -> the sections of the service's configuration."""

from decimal import Decimal
from pathlib import Path

from aiapp_operator.api import content as api
from aiapp_operator.api.app import AIApp
from aiapp_operator.build import credentials
from aiapp_operator.build.content import CONTENT_DIR, prompt_path, schema_path
from aiapp_operator.build.duration import seconds
from aiapp_service import config as service


def prompts(app: AIApp) -> tuple[service.PromptConfig, ...]:
    """Templates, as files of the content volume."""
    return tuple(
        service.PromptConfig(name=p.name, version=p.version, file=Path(CONTENT_DIR, prompt_path(p.name, p.version)))
        for p in app.spec.prompts
    )


def guardrails(app: AIApp) -> tuple[service.GuardrailConfig, ...]:
    """In the order in which they are applied."""
    return tuple(_guardrail(guardrail) for guardrail in app.spec.guardrails)


def _guardrail(guardrail: api.Guardrail) -> service.GuardrailConfig:
    has_key = guardrail.api_key_secret_ref is not None
    return service.GuardrailConfig(
        name=guardrail.name,
        kind=service.GuardrailKind(guardrail.kind.value),
        stages=tuple(service.GuardrailStage(stage.value) for stage in guardrail.stages),
        action=service.GuardrailAction(guardrail.action.value),
        patterns=tuple(guardrail.patterns or ()),
        max_characters=guardrail.max_characters,
        topics=tuple(guardrail.topics or ()),
        schema_file=Path(CONTENT_DIR, schema_path(guardrail.name)) if guardrail.schema_ref is not None else None,
        url=guardrail.url,
        api_key_file=Path(credentials.CREDENTIALS_DIR, credentials.guardrail_path(guardrail.name)) if has_key else None,
    )


def cache(app: AIApp) -> service.CacheConfig:
    """Which caches there are."""
    wanted = app.spec.cache
    if wanted is None:
        return service.CacheConfig()
    exact, semantic = wanted.exact, wanted.semantic
    return service.CacheConfig(
        exact=None if exact is None else service.ExactCacheConfig(ttl=seconds(exact.ttl)),
        semantic=None
        if semantic is None
        else service.SemanticCacheConfig(
            embedding_model=semantic.embedding_model,
            threshold=Decimal(semantic.threshold),
            ttl=seconds(semantic.ttl),
        ),
    )
