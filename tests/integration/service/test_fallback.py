"""The next backend answers as long as nothing has reached the client."""

from typing import Any

import openai
import pytest

from aiapp_service.config import AuthConfig, ModelConfig, ServiceConfig
from tests.integration.service.conftest import FAST, Serve, config, mock
from tests.integration.service.upstream import WORDS, Upstream

HELLO = [{"role": "user", "content": "Hello"}]
NOBODY = "http://127.0.0.1:9/v1"

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"status": 500}, "server_error"),
    ({"status": 503}, "server_error"),
    ({"status": 429}, "rate_limited"),
    ({"status": 401}, "refused_key"),
    ({"status": 403}, "refused_key"),
    ({"status": 404}, "model_missing"),
]
STREAM_FAULTS: list[tuple[dict[str, Any], str]] = [
    *FAULTS,
    ({"before_headers": 30}, "timeout"),
    ({"before_first": 30}, "timeout"),
    ({"break_after": 0}, "broken"),
    ({"raw": (b"",)}, "broken"),
    ({"raw": (b"data: [DONE]\n\n",)}, "broken"),
    ({"raw": (b"<html>no model here</html>\n\n",)}, "broken"),
    ({"raw": (b"data: nonsense\n\n",)}, "broken"),
    ({"raw": (b'data: {"error": {"message": "overloaded"}}\n\n',)}, "server_error"),
    ({"headers": {"Content-Type": "application/json"}, "raw": (b"{}",)}, "broken"),
]


def reason_of(case: tuple[dict[str, Any], str]) -> str:
    return f"{next(iter(case[0].items()))}"


@pytest.mark.parametrize("case", STREAM_FAULTS, ids=reason_of)
async def test_stream_falls_back_before_the_first_token(serve: Serve, case: tuple[dict[str, Any], str]) -> None:
    fault, reason = case
    async with (
        Upstream(**fault).running() as first,
        Upstream().running() as second,
        serve(config(first.url, second.url)) as api,
        api.sdk() as client,
    ):
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        words = [c.choices[0].delta.content async for c in stream]
        assert [word for word in words if word] == list(WORDS)
        sample = f'ai_fallbacks_total{{from="m0/model-m0",model="chat",reason="{reason}",to="m1/model-m1"}}'
        assert api.metric(sample) == 1
        assert api.metric('ai_backend_up{backend="m0/model-m0"}') == 0
        assert api.metric('ai_backend_up{backend="m1/model-m1"}') == 1


@pytest.mark.parametrize("case", FAULTS, ids=reason_of)
async def test_whole_answer_falls_back(serve: Serve, case: tuple[dict[str, Any], str]) -> None:
    async with (
        Upstream(**case[0]).running() as first,
        Upstream().running() as second,
        serve(config(first.url, second.url)) as api,
        api.sdk() as client,
    ):
        answer = await client.chat.completions.create(model="chat", messages=HELLO)
        assert answer.model == "model-m1"


async def test_backend_that_is_not_there(serve: Serve) -> None:
    async with Upstream().running() as second, serve(config(NOBODY, second.url)) as api, api.sdk() as client:
        assert (await client.chat.completions.create(model="chat", messages=HELLO)).model == "model-m1"
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        assert {chunk.model async for chunk in stream} == {"model-m1"}


async def test_mock_stands_in(serve: Serve) -> None:
    provider, backend = mock()
    first = config(NOBODY)
    models = (ModelConfig(name="chat", backends=(first.models[0].backends[0], backend), timeouts=FAST),)
    async with (
        serve(ServiceConfig(**{**dict(first), "models": models, "providers": (provider,)})) as api,
        api.sdk() as client,
    ):
        answer = await client.chat.completions.create(model="chat", messages=HELLO)
        assert answer.choices[0].message.content == "Hello"


@pytest.mark.parametrize(
    ("faults", "status", "retry_after"),
    [
        ([{"status": 429, "headers": {"Retry-After": "17"}}, {"status": 429}], 429, "17"),
        ([{"status": 500}, {"status": 502}], 502, None),
        ([{"before_first": 30}, {"before_headers": 30}], 504, None),
        ([{"status": 401}, {"status": 500}], 502, None),
        ([{"status": 429}, {"status": 500}], 502, None),
    ],
)
async def test_when_all_fail_the_error_says_how(serve: Serve, faults, status, retry_after) -> None:
    async with (
        Upstream(**faults[0]).running() as first,
        Upstream(**faults[1]).running() as second,
        serve(config(first.url, second.url)) as api,
        api.sdk() as client,
    ):
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        assert caught.value.status_code == status
        assert caught.value.response.headers.get("retry-after") == retry_after
        assert "m0/model-m0" in caught.value.message
        assert "m1/model-m1" in caught.value.message


async def test_nobody_there_is_503(serve: Serve) -> None:
    async with serve(config(NOBODY)) as api, api.sdk() as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="chat", messages=HELLO)
        assert caught.value.status_code == 503
        assert caught.value.response.headers["retry-after"]


async def test_keys_of_clients_never_reach_backends(serve: Serve, tmp_path) -> None:
    (tmp_path / "alice").write_text("secret-key")
    auth = AuthConfig(api_keys_dir=tmp_path)
    async with (
        Upstream().running() as upstream,
        serve(config(upstream.url, auth=auth)) as api,
        api.sdk("secret-key") as client,
    ):
        await client.chat.completions.create(model="chat", messages=HELLO)
    assert upstream.authorizations == [None]
