"""What an application sees that points an OpenAI SDK at the API."""

import io
import json

import openai
import pytest

from tests.integration.service.conftest import Serve, config
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until

HELLO = [{"role": "user", "content": "Hello"}]


async def test_completion_is_relayed_with_what_vendors_add(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api, api.sdk() as client:
        answer = await client.chat.completions.create(
            model="chat", messages=HELLO, temperature=0.1, extra_body={"x_unknown": [1, {"a": None}]}
        )
        assert answer.choices[0].message.content == " ".join(WORDS)
        assert answer.model_extra == {"x_vendor": {"kept": True}}
        assert answer.usage is not None
        sent = upstream.bodies[0]
        assert sent["model"] == "model-m0"
        assert sent["x_unknown"] == [1, {"a": None}]
        assert sent["temperature"] == 0.1
        assert "stream_options" not in sent
        assert api.metric('ai_tokens_total{endpoint="chat/completions",model="chat",type="output"}') == len(WORDS)
        assert api.metric('ai_requests_total{code="200",endpoint="chat/completions",model="chat"}') == 1
        assert api.metric("ai_active_requests") == 0


async def test_stream_comes_token_by_token_and_its_usage_is_counted(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api, api.sdk() as client:
        chunks = [c async for c in await client.chat.completions.create(model="chat", messages=HELLO, stream=True)]
        assert [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content] == list(WORDS)
        assert chunks[-1].choices[0].finish_reason == "stop", "the chunk with the usage was not asked for"
        assert upstream.bodies[0]["stream_options"] == {"include_usage": True}
        counted = 'ai_tokens_total{endpoint="chat/completions",model="chat",type="input"}'
        await until("tokens counted", lambda: api.metric(counted) == 7)
        await until("first token counted", lambda: api.metric('ai_ttft_seconds_count{model="chat"}') == 1)


async def test_usage_that_was_asked_for_is_passed_on(serve: Serve) -> None:
    options = {"include_usage": True}
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api, api.sdk() as client:
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True, stream_options=options)
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(WORDS)


async def test_embeddings_and_models(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api, api.sdk() as client:
        found = await client.embeddings.create(model="embed", input="text", encoding_format="float")
        assert found.data[0].embedding == [0.5, 0.5]
        assert [model.id async for model in client.models.list()] == ["chat", "embed"]
        assert (await client.models.retrieve("chat")).id == "chat"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("chat/completions", {"messages": HELLO}, 400, "model", None),
        ("chat/completions", {"model": "", "messages": HELLO}, 400, "model", None),
        ("chat/completions", {"model": "chat"}, 400, "messages", None),
        ("chat/completions", {"model": "chat", "messages": []}, 400, "messages", None),
        ("chat/completions", {"model": "chat", "messages": ["x"]}, 400, "messages[0]", None),
        ("chat/completions", {"model": "chat", "messages": HELLO, "stream": "yes"}, 400, "stream", None),
        ("chat/completions", {"model": "nobody", "messages": HELLO}, 404, "model", "model_not_found"),
        ("chat/completions", {"model": "embed", "messages": HELLO}, 400, "model", "model_kind_mismatch"),
        ("embeddings", {"model": "embed"}, 400, "input", None),
        ("embeddings", {"model": "embed", "input": []}, 400, "input", None),
        ("embeddings", {"model": "chat", "input": "x"}, 400, "model", "model_kind_mismatch"),
        ("completions", {"model": "chat"}, 404, None, "unknown_url"),
    ],
)
async def test_wrong_requests_name_the_field(serve: Serve, path, body, status, param, code) -> None:
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api:
        async with api.http.post(f"{api.url}/v1/{path}", json=body) as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["param"], error["code"]) == (status, param, code)
            assert error["type"] == "invalid_request_error"
            assert error["message"]
            assert answer.headers["x-request-id"]
        assert upstream.bodies == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'"x"', b'{"model": NaN}', b"\xff", b"[" * 100_000], ids=lambda body: repr(body[:12])
)
async def test_bodies_that_are_no_json_object(serve: Serve, body: bytes) -> None:
    async with (
        serve(config("http://127.0.0.1:9/v1")) as api,
        api.http.post(f"{api.url}/v1/chat/completions", data=body) as answer,
    ):
        assert answer.status == 400
        assert "JSON" in (await answer.json())["error"]["message"]


async def test_too_large_a_body(serve: Serve) -> None:
    body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "x" * (21 * 1024 * 1024)}]})
    async with (
        serve(config("http://127.0.0.1:9/v1")) as api,
        api.http.post(f"{api.url}/v1/chat/completions", data=io.BytesIO(body.encode())) as answer,
    ):
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(("given", "kept"), [("req-1.a_B", True), ("x" * 200, False), ("a b", False), ("", False)])
async def test_request_id_is_the_clients_when_it_is_sane(serve: Serve, given: str, kept: bool) -> None:
    async with (
        serve(config("http://127.0.0.1:9/v1")) as api,
        api.http.get(f"{api.url}/v1/models", headers={"x-request-id": given}) as answer,
    ):
        assert (answer.headers["x-request-id"] == given) is kept


async def test_clients_mistakes_that_the_backend_finds_are_passed_on(serve: Serve) -> None:
    async with (
        Upstream(status=422).running() as first,
        Upstream().running() as second,
        serve(config(first.url, second.url)) as api,
    ):
        for stream in (False, True):
            body = {"model": "chat", "messages": HELLO, "stream": stream}
            async with api.http.post(f"{api.url}/v1/chat/completions", json=body) as answer:
                assert answer.status == 422
                assert (await answer.json())["error"]["code"] == "told"
        assert second.bodies == [], "no other backend would think otherwise"
