"""What applications in JavaScript see: openai-node and the AI SDK, unchanged, against the running service."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    InferenceConfig,
    ModelConfig,
    ModelKind,
    ProviderConfig,
    ProviderKind,
    ResponsesMode,
    ServiceConfig,
)
from tests.integration.service.calling import calling
from tests.integration.service.conftest import Serve, Service, mock
from tests.integration.service.native import WORDS as NATIVE_WORDS
from tests.integration.service.native import Native
from tests.integration.service.node_sdks import installed, run_script
from tests.integration.service.patience import PATIENT
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.verbatim import Verbatim
from tests.integration.service.waiting import until

KEY = "key-of-node"
SAID = " ".join(WORDS)
REFUSAL = {"message": "too hot", "type": "invalid_request_error", "param": "temperature", "code": "too_hot"}
SUM = {"a": 1, "b": 2}
# Each script runs all its cases: loading an SDK takes longer than using it.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def packages(pytestconfig: pytest.Config) -> Path:
    """The packages of tests/sdk; an installation is told of while it goes on."""
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        return installed(Console(highlight=False, width=160, stderr=True))


@dataclass(frozen=True)
class Stand:
    """A service with a model for each situation, and the backends that notice when a client leaves."""

    api: Service
    chat: Upstream
    native: Native
    slow: Upstream
    waiting: Upstream


@asynccontextmanager
async def stand(serve: Serve, folder: Path) -> AsyncIterator[Stand]:
    slow, waiting = Upstream(between=0.05, words=("word",) * 2000), Upstream(before_headers=60)
    message = {"role": "assistant", "content": json.dumps(SUM)}
    json_answer = {"id": "c", "created": 1, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    async with (
        Upstream().running() as chat,
        Native().running() as native,
        calling() as calling_url,
        Verbatim(json.dumps(json_answer).encode()).running() as json_,
        Verbatim(json.dumps({"error": REFUSAL}).encode(), status=400).running() as refused,
        Upstream(status=429, headers={"Retry-After": "7"}).running() as limited,
        Upstream(break_after=2).running() as broken,
        slow.running(),
        waiting.running(),
    ):
        urls = {"chat": chat.url, "calling": calling_url, "json": json_.url, "refused": refused.url}
        urls |= {"limited": limited.url, "broken": broken.url, "slow": slow.url, "waiting": waiting.url}
        async with serve(_config(urls, native, folder)) as api:
            yield Stand(api, chat, native, slow, waiting)


def _config(urls: dict[str, str], native: Native, folder: Path) -> ServiceConfig:
    keys = folder / "keys"
    keys.mkdir()
    (keys / "node").write_text(KEY)
    provider, _ = mock()
    relaying = ProviderConfig(
        name="native", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=native.url, responses=ResponsesMode.RELAY
    )
    embed = BackendConfig(provider=provider.name, model="mock-embedding")
    backends = {name: (BackendConfig(inference=name, model="m"),) for name in urls}
    backends["native"] = (BackendConfig(provider="native", model="m"),)
    models = [ModelConfig(name=name, backends=b, timeouts=PATIENT) for name, b in backends.items()]
    return ServiceConfig(
        auth=AuthConfig(api_keys_dir=keys),
        providers=(provider, relaying),
        inference=tuple(InferenceConfig(name=name, base_url=url) for name, url in urls.items()),
        models=(*models, ModelConfig(name="embed", kind=ModelKind.EMBEDDING, backends=(embed,))),
    )


def error(class_: str, status: int | None, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"class": class_, "status": status, "code": code, "param": param}


def part(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: found.get(name) for name in names}


async def test_openai_node(serve: Serve, packages: Path, tmp_path: Path) -> None:
    async with stand(serve, tmp_path) as at:
        found = await run_script(packages, "openai-node.mjs", at.api.url, KEY, tmp_path)
        await until("the backend of the stream notices", at.slow.left.is_set)
        await until("the backend of the response notices", at.waiting.left.is_set)
        await until("no request under way", lambda: at.api.metric("ai_active_requests") == 0)
    errors = ("unknownModel", "refused", "refusedResponse", "limited", "unsupported", "wrongKey", "broken")
    assert {name: part(found.pop(name), "class", "status", "code", "param") for name in errors} == {
        "unknownModel": error("NotFoundError", 404, "model_not_found", "model"),
        "refused": error("BadRequestError", 400, "too_hot", "temperature"),
        "refusedResponse": error("BadRequestError", 400, "too_hot", "temperature"),
        "limited": error("RateLimitError", 429, "rate_limit_exceeded"),
        "unsupported": error("BadRequestError", 400, "unsupported_parameter", "tools[0].type"),
        "wrongKey": error("AuthenticationError", 401, "invalid_api_key"),
        "broken": error("APIError", None, "stream_truncated"),
    }
    broken = found.pop("brokenResponse")
    assert broken["last"] == "response.failed"
    assert "not complete" in broken["message"]
    assert found == {
        "chat": {"content": SAID, "usage": 11, "vendor": {"kept": True}},
        "chatStream": {"said": list(WORDS), "finish": "stop"},
        "chatTools": "It is 3",
        "chatToolsStream": {"id": "call_1", "name": "add", "arguments": SUM},
        "embeddings": [8, 8],
        "models": ["chat", "calling", "json", "refused", "limited", "broken", "slow", "waiting", "native", "embed"],
        "responses": {"text": SAID, "usage": 11, "kept": SAID, "items": ["Two"], "gone": "NotFoundError"},
        "responsesStream": {"first": "response.created", "last": "response.completed", "text": "".join(WORDS)},
        "responsesTools": {"name": "add", "arguments": '{"a":1,"b":2}', "text": "It is 3"},
        "responsesParsed": SUM,
        "cancelled": 2,
        "cancelledResponse": "APIUserAbortError",
    }


async def test_ai_sdk(serve: Serve, packages: Path, tmp_path: Path) -> None:
    async with stand(serve, tmp_path) as at:
        found = await run_script(packages, "ai-sdk.mjs", at.api.url, KEY, tmp_path)
        await until("all backends notice", lambda: at.api.metric("ai_active_requests") == 0)
        assert at.slow.left.is_set()
        assert len(at.slow.bodies) == 3
        asked = [[message["content"] for message in body["messages"]] for body in at.chat.bodies]
        assert asked.count(["One", SAID, "Two"]) == 3, "each provider goes on with a conversation in its own way"
        said = {"type": "message", "role": "assistant", "content": "".join(NATIVE_WORDS)}
        assert said in at.native.bodies[-1]["input"], "it refers to what was said, and only we know it"
    relayed = {name: found.pop(f"relayed.{name}") for name in ("text", "stream", "conversation")}
    assert relayed == {
        "text": {"text": "".join(NATIVE_WORDS), "tokens": 13, "finish": "stop"},
        "stream": {"said": list(NATIVE_WORDS), "finish": "stop", "output": 4},
        "conversation": "".join(NATIVE_WORDS),
    }
    assert found.pop("openai.embeddings") == found.pop("compatible.embeddings") == 256
    for provider in ("chat", "responses", "compatible"):
        seen = {name: found.pop(f"{provider}.{name}") for name in ("unknownModel", "refused", "limited", "broken")}
        for name, status, retryable in (("unknownModel", 404, False), ("refused", 400, False), ("limited", 429, True)):
            expected = {"known": True, "status": status, "retryable": retryable}
            assert part(seen[name], *expected) == expected, (provider, seen[name])
        assert "too hot" in seen["refused"]["message"]
        assert len(seen["broken"]["errors"]) == 1, provider
        assert "not complete" in seen["broken"]["errors"][0]
        assert seen["broken"]["finish"] == "error"
        assert {
            name.removeprefix(f"{provider}."): said for name, said in found.items() if name.startswith(provider)
        } == {
            "text": {"text": SAID, "tokens": 11, "finish": "stop"},
            "stream": {"said": list(WORDS), "finish": "stop", "output": 4},
            "tools": {"text": "It is 3", "steps": 2, "results": [3]},
            "toolsStream": {"text": "It is 3", "steps": 2},
            "conversation": SAID,
            "object": SUM,
            "cancelled": "abort",
        }
