"""Configuration -> guardrails."""

from collections.abc import Callable

import aiohttp

from aiapp_service.config import GuardrailConfig, GuardrailKind, GuardrailStage, ServiceConfig, WrongConfig
from aiapp_service.credentials import SecretFile
from aiapp_service.files import WatchedFiles
from aiapp_service.guardrails.passage import Guardrail, Passage
from aiapp_service.guardrails.rules import Rule, gate_of, rule
from aiapp_service.guardrails.scanner import Scanner, Weigh
from aiapp_service.guardrails.stage import guarding
from aiapp_service.pipeline.exchange import Stage
from aiapp_service.telemetry.metrics import Metrics

# ruff: noqa: PLC0415  # libraries are loaded for the kinds that are configured

Begin = Callable[[], Passage]


def stage(config: ServiceConfig, session: aiohttp.ClientSession, metrics: Metrics, files: WatchedFiles) -> Stage:
    """All guardrails of `config`; `files` are watched for them.

    Raises:
        WrongConfig: one of them cannot work; names it and its field.
    """
    made = [(wanted, _guardrail(wanted, config, session, metrics, files)) for wanted in config.guardrails]
    return guarding(
        [guardrail for wanted, guardrail in made if GuardrailStage.INPUT in wanted.stages],
        [guardrail for wanted, guardrail in made if GuardrailStage.OUTPUT in wanted.stages],
    )


def _guardrail(
    wanted: GuardrailConfig,
    config: ServiceConfig,
    session: aiohttp.ClientSession,
    metrics: Metrics,
    files: WatchedFiles,
) -> Guardrail:
    begin = _judging(wanted, config, session, files) or _scanning(wanted)
    counter = metrics.violations.labels(wanted.name, wanted.action.value.lower())
    distrusts = wanted.kind is GuardrailKind.PROMPT_INJECTION
    return Guardrail(wanted.name, wanted.action, begin, counter.inc, distrusts)


def _judging(
    wanted: GuardrailConfig, config: ServiceConfig, session: aiohttp.ClientSession, files: WatchedFiles
) -> Begin | None:
    """Those that judge a text as a whole."""
    if wanted.kind is GuardrailKind.LENGTH and wanted.max_characters is not None:
        from aiapp_service.guardrails.length import Length

        most = wanted.max_characters
        return lambda: Length(most)
    if wanted.kind is GuardrailKind.JSON_SCHEMA and wanted.schema_file is not None:
        from aiapp_service.guardrails.json_schema import JsonSchema, SchemaFile, validator

        file = files.open(f"guardrail {wanted.name}", wanted.schema_file, validator)
        schema = SchemaFile(file, fail_open=config.fail_open)
        return lambda: JsonSchema(schema)
    if wanted.kind is GuardrailKind.MODERATION and wanted.url is not None:
        from aiapp_service.guardrails.moderation import Judge, Moderation

        key_file = SecretFile(wanted.api_key_file) if wanted.api_key_file else None
        judge = Judge(wanted.name, session, wanted.url, key_file, fail_open=config.fail_open)
        return lambda: Moderation(judge)
    return None


def _scanning(wanted: GuardrailConfig) -> Begin:
    """Those that find places in it."""
    rules, weigh, trusted = _rules(wanted)
    action = wanted.action
    gate = gate_of(rules)
    return lambda: Scanner(rules, gate, action, weigh, trusted)


def _rules(wanted: GuardrailConfig) -> tuple[list[Rule], Weigh, frozenset[str]]:
    if wanted.kind is GuardrailKind.PROMPT_INJECTION:
        from aiapp_service.guardrails import injection

        return injection.rules(), injection.is_attack, injection.TRUSTED
    return _found_alone(wanted), bool, frozenset()


def _found_alone(wanted: GuardrailConfig) -> list[Rule]:
    """Rules whose matches are violations, each by itself."""
    if wanted.kind is GuardrailKind.PII:
        from aiapp_service.guardrails import pii

        return pii.rules()
    if wanted.kind is GuardrailKind.SECRETS:
        from aiapp_service.guardrails import leaked_secrets

        return leaked_secrets.rules()
    if wanted.kind is GuardrailKind.TOPICS:
        from aiapp_service.guardrails import topics

        try:
            return topics.rules(wanted.topics)
        except ValueError as error:
            raise WrongConfig(f"guardrail {wanted.name}: topics: {error}") from error
    return [_pattern(wanted.name, pattern) for pattern in wanted.patterns]


def _pattern(guardrail: str, pattern: str) -> Rule:
    try:
        return rule("PATTERN", pattern)
    except ValueError as error:
        raise WrongConfig(f"guardrail {guardrail}: pattern {pattern!r}: {error}") from error
