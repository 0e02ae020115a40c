"""Guardrails that ask an endpoint, which answers, fails or does not answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aiapp_service.config import GuardrailConfig, TimeoutsConfig
from tests.integration.service.conftest import Serve
from tests.integration.service.conftest import config as impatient
from tests.integration.service.listening import listening
from tests.integration.service.upstream import Upstream

# What is looked at here is not how fast a backend answers.
config = partial(impatient, timeouts=TimeoutsConfig())
HELLO = [{"role": "user", "content": "Hello"}]
BAD = [{"role": "user", "content": "something bad"}]


@dataclass
class Endpoint:
    """Flags what has the word `bad` in it."""

    status: int = 200
    seconds: float = 0.0
    raw: str | None = None
    asked: list[list[str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Endpoint"]:
        app = web.Application()
        app.router.add_post("/v1/moderations", self._answer)
        async with listening(app, cancelled=True) as base:
            self.url = f"{base}/v1/moderations"
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        self.asked.append(texts)
        self.keys.append(request.headers.get("Authorization"))
        await asyncio.sleep(self.seconds)
        if self.raw is not None:
            return web.Response(text=self.raw, status=self.status)
        results = [{"flagged": "bad" in text, "categories": {}} for text in texts]
        return web.json_response({"id": "m", "results": results}, status=self.status)


def rail(url: str, **fields: Any) -> GuardrailConfig:
    return GuardrailConfig.model_validate(
        {"name": "mod", "kind": "Moderation", "url": url, "stages": ("Input", "Output"), **fields}
    )


async def test_input_and_output_are_judged(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret-key\n")
    async with Endpoint().running() as endpoint, Upstream(words=("a", "b", "bad")).running() as upstream:
        rails = (rail(endpoint.url, apiKeyFile=str(tmp_path / "key")),)
        async with serve(config(upstream.url, guardrails=rails)) as api:
            path = f"{api.url}/v1/chat/completions"
            async with api.http.post(path, json={"model": "chat", "messages": BAD}) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (400, "content_filter")
            assert upstream.bodies == []
            async with api.http.post(path, json={"model": "chat", "messages": HELLO}) as answer:
                choice = (await answer.json())["choices"][0]
                assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", None)
            async with api.http.post(path, json={"model": "chat", "messages": HELLO, "stream": True}) as answer:
                events = [e.removeprefix(b"data: ") for e in (await answer.read()).split(b"\n\n") if e]
            assert events[-1] == b"[DONE]"
            assert json.loads(events[-2])["choices"][0]["finish_reason"] == "content_filter"
        assert endpoint.asked == [["something bad"], ["Hello"], ["a b bad"], ["Hello"], ["abbad"]]
        assert set(endpoint.keys) == {"Bearer secret-key"}


@pytest.mark.parametrize("fail_open", [True, False])
@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"raw": "no JSON"}, {"raw": "[]"}, {"raw": '{"results":[1]}'}, {"seconds": 60}],
    ids=["500", "no JSON", "a list", "no results", "too slow"],
)
async def test_endpoint_that_fails(serve: Serve, fault: dict[str, Any], fail_open: bool) -> None:
    async with Endpoint(**fault).running() as endpoint, Upstream().running() as upstream:
        wanted = config(upstream.url, guardrails=(rail(endpoint.url),), fail_open=fail_open)
        async with serve(wanted) as api:
            path = f"{api.url}/v1/chat/completions"
            for _ in range(3):
                async with api.http.post(path, json={"model": "chat", "messages": BAD}) as answer:
                    document = await answer.json()
                    assert answer.status == (200 if fail_open else 503)
                    assert fail_open or document["error"]["code"] == "guardrail_unavailable"
            assert len(upstream.bodies) == (3 if fail_open else 0)


async def test_stream_ends_in_an_error_where_requests_must_not_go_on_without(serve: Serve) -> None:
    async with Endpoint(status=500).running() as endpoint, Upstream().running() as upstream:
        wanted = config(upstream.url, guardrails=(rail(endpoint.url, stages=("Output",)),), fail_open=False)
        async with serve(wanted) as api:
            body = {"model": "chat", "messages": HELLO, "stream": True}
            async with api.http.post(f"{api.url}/v1/chat/completions", json=body) as answer:
                text = await answer.read()
        assert b"guardrail_unavailable" in text
        assert b"[DONE]" not in text
