"""`aiapp-service prompt-test`: cases run through the same stages as requests to the API, in this process.

Prompts, guardrails, routes and backends are those of the configuration. What belongs to a running service (limits,
budgets, caches, databases) has no part in it: a test neither spends a budget nor is answered from a cache.
"""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
from pydantic import ValidationError
from yaml import YAMLError

from aiapp_service import assembly
from aiapp_service.config import (
    CacheConfig,
    ModelKind,
    ProviderConfig,
    ProviderKind,
    RateLimitConfig,
    ServiceConfig,
    WrongConfig,
)
from aiapp_service.gateway import Running
from aiapp_service.guardrails.rules import compiled
from aiapp_service.http import bodies
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.llm.route import NoBackend
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Whole
from aiapp_service.prompts.cases import Case, Cases, read
from aiapp_service.prompts.checks import Answered, Snapshots, check
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics

FAILED = 1
WRONG_FILE = 2
_MOCK = ProviderConfig(name="mock", kind=ProviderKind.MOCK)


async def run(config: ServiceConfig, file: Path, *, mock: bool, update: bool) -> int:
    """The exit code: 0, FAILED or WRONG_FILE. With `mock` all backends are the Mock provider."""
    try:
        cases = read(file)
        _require_sane(cases)
    except (OSError, YAMLError, ValidationError, ValueError) as error:
        return _wrong(f"{file}: {_first(error)}")
    config = _for_tests(config, cases, mock=mock)
    async with client_session() as session:
        around = Surroundings(session, Metrics())
        try:
            running = assembly.build(config, around)
        except WrongConfig as error:
            return _wrong(str(error))
        if wrong := running.files.details():
            return _wrong(wrong[0])
        failed = 0
        for case in cases.tests:
            failed += await _try(running, case, Snapshots.beside(file, update=update))
    sys.stdout.write(f"{len(cases.tests) - failed} passed, {failed} failed\n")
    return FAILED if failed else 0


def _for_tests(config: ServiceConfig, cases: Cases, *, mock: bool) -> ServiceConfig:
    own = {(prompt.name, prompt.version) for prompt in cases.prompts}
    others = [prompt for prompt in config.prompts if (prompt.name, prompt.version) not in own]
    changes: dict[str, Any] = {
        "prompts": (*others, *cases.prompts),
        "rate_limit": RateLimitConfig(),
        "budgets": (),
        "cache": CacheConfig(),
        "database": None,
        "redis": None,
    }
    if mock:
        to_mock = {"provider": _MOCK.name, "inference": None}
        models = [
            model.model_copy(update={"backends": tuple(b.model_copy(update=to_mock) for b in model.backends)})
            for model in config.models
        ]
        changes |= {"providers": (_MOCK,), "inference": (), "models": tuple(models)}
    return config.model_copy(update=changes)


async def _try(running: Running, case: Case, snapshots: Snapshots) -> bool:
    """Run one, and say how it went; whether it failed."""
    started = time.perf_counter()
    try:
        wrong = list(check(case.name, case.expected, await _answer(running, case), snapshots))
    except (ApiError, NoBackend) as error:
        wrong = [f"no answer: {error}"]
    milliseconds = 1000 * (time.perf_counter() - started)
    sys.stdout.write(f"{'FAIL' if wrong else 'ok  '} {case.name} ({milliseconds:.0f} ms)\n")
    sys.stdout.writelines(_indented(wrong))
    return bool(wrong)


async def _answer(running: Running, case: Case) -> Answered:
    """Ask as a client would.

    Raises:
        ApiError, NoBackend: there is no answer.
    """
    prompt = {"id": case.prompt, "variables": case.variables}
    if case.version is not None:
        prompt["version"] = case.version
    body = {**case.parameters, "prompt": prompt, "messages": [dict(message) for message in case.messages]}
    if case.model is not None:
        body["model"] = case.model
    running.prompts.add_model(body)
    chat = (model.name for model in running.config.models if model.kind is ModelKind.CHAT)
    body.setdefault("model", next(chat, ""))
    body.pop("stream", None)
    call = Call("prompt-test")
    route = bodies.route_of(running.router, body, ModelKind.CHAT, call)
    exchange = Exchange(call, route, Endpoint.CHAT, body)
    async with exchange.cleanup:
        outcome = await running.run(exchange)
    if not isinstance(outcome, Whole) or outcome.status != 200:
        raise ApiError(502, f"the backend answered {getattr(outcome, 'status', 'with a stream')}")
    return _read(outcome.body, call)


def _read(answer: bytes, call: Call) -> Answered:
    """What it says; a tool call and a refusal are answers too."""
    choice = json.loads(answer)["choices"][0]
    message = choice["message"]
    said = message.get("content") or message.get("refusal") or ""
    calls = [json.dumps(entry.get("function"), sort_keys=True) for entry in message.get("tool_calls") or ()]
    if choice.get("finish_reason") == "content_filter":
        raise ApiError(502, "a guardrail blocked the answer")
    return Answered("\n".join([said, *calls]) if calls else said, call.usage.output if call.usage else None)


def _require_sane(cases: Cases) -> None:
    """Raises ValueError where an expression or a schema is none."""
    for number, case in enumerate(cases.tests):
        if case.expected.json_schema is not None:
            try:
                jsonschema.Draft202012Validator.check_schema(case.expected.json_schema)
            except jsonschema.SchemaError as error:
                raise ValueError(f"tests.{number}.assert.json_schema: {error.message}") from error
        for expression in case.expected.matches:
            try:
                compiled(expression)
            except ValueError as error:
                raise ValueError(f"tests.{number}.assert.matches: {expression!r}: {error}") from error


def _indented(wrong: Iterable[str]) -> list[str]:
    return [f"       {line}\n" for message in wrong for line in message.splitlines()]


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the file'}: {first['msg']}"


def _wrong(message: str) -> int:
    sys.stderr.write(f"aiapp-service: {message}\n")
    return WRONG_FILE
