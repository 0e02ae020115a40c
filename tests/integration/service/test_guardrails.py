"""Guardrails as clients meet them: blocked, replaced, counted; in whole answers and in streams."""

import json
from functools import partial
from typing import Any

import openai
import pytest

from aiapp_service.config import GuardrailConfig, TimeoutsConfig, WrongConfig
from tests.integration.service.conftest import Serve, Service
from tests.integration.service.conftest import config as impatient
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

# What is looked at here is not how fast a backend answers.
config = partial(impatient, timeouts=TimeoutsConfig())
HELLO = [{"role": "user", "content": "Hello"}]
SPLIT = ("Write", " to bob", "@exam", "ple.com", " or call +49 30", " 901820", " today", ".")
SAID = "".join(SPLIT)
SHOWN = "Write to [EMAIL] or call [PHONE] today."


def rail(kind: str, action: str = "Block", stages: tuple[str, ...] = ("Input",), **fields: Any) -> GuardrailConfig:
    return GuardrailConfig.model_validate({"name": "rail", "kind": kind, "action": action, "stages": stages, **fields})


def violations(api: Service, action: str) -> float:
    return api.metric(f'ai_guardrail_violations_total{{action="{action}",guardrail="rail"}}')


async def ask(api: Service, **body: Any) -> tuple[int, dict[str, str], Any]:
    request = {"model": "chat", "messages": HELLO, **body}
    async with api.http.post(f"{api.url}/v1/chat/completions", json=request) as answer:
        return answer.status, dict(answer.headers), await answer.json()


def delta(text: str = "", finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    choice = {"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish, **fields}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"


def streaming(*events: bytes) -> Upstream:
    # One piece: the order of events is what counts here, not their time.
    return Upstream(raw=(b"".join(events) + b"data: [DONE]\n\n",))


async def stream(api: Service, **body: Any) -> list[dict[str, Any]]:
    """The chunks of a complete stream."""
    request = {"model": "chat", "messages": HELLO, "stream": True, **body}
    async with api.http.post(f"{api.url}/v1/chat/completions", json=request) as answer:
        events = [event.removeprefix(b"data: ") for event in (await answer.read()).split(b"\n\n") if event]
    assert events.pop() == b"[DONE]"
    return [json.loads(event) for event in events]


def text_of(chunks: list[dict[str, Any]], index: int = 0, field: str = "content") -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get(field) or "" for choice in choices)


def ends_of(chunks: list[dict[str, Any]]) -> dict[int, str]:
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return {choice["index"]: choice["finish_reason"] for choice in choices if choice["finish_reason"]}


async def test_blocked_request_reaches_no_model(serve: Serve) -> None:
    async with (
        Upstream().running() as upstream,
        serve(config(upstream.url, guardrails=(rail("PII"),))) as api,
        api.sdk() as client,
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": SAID}])
        assert caught.value.code == "content_filter"
        assert caught.value.param == "messages"
        assert "rail" in caught.value.message
        assert "bob" not in caught.value.message
        assert caught.value.response.headers["x-aiapp-guardrails"] == "rail=block"
        assert upstream.bodies == []
        assert violations(api, "block") == 1
        await client.chat.completions.create(model="chat", messages=HELLO)
        assert violations(api, "block") == 1


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": SAID},
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": SAID}]},
        {"role": "tool", "tool_call_id": "1", "content": SAID},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": SAID}}]},
    ],
    ids=["text", "parts", "tool result", "tool call"],
)
async def test_redacted_request_reaches_the_model_without(serve: Serve, message: dict[str, Any]) -> None:
    async with (
        Upstream().running() as upstream,
        serve(config(upstream.url, guardrails=(rail("PII", "Redact"),))) as api,
    ):
        status, headers, _ = await ask(api, messages=[*HELLO, message])
        assert status == 200
        assert headers["x-aiapp-guardrails"] == "rail=redact"
        assert upstream.bodies[0]["messages"][1] == json.loads(json.dumps(message).replace(SAID, SHOWN))
        assert violations(api, "redact") == 1


async def test_audited_request_reaches_the_model_as_it_is(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(config(upstream.url, guardrails=(rail("PII", "Audit"),))) as api:
        _, headers, _ = await ask(api, messages=[{"role": "user", "content": SAID}])
        assert headers["x-aiapp-guardrails"] == "rail=audit"
        assert upstream.bodies[0]["messages"] == [{"role": "user", "content": SAID}]
        assert violations(api, "audit") == 1
        assert "x-aiapp-guardrails" not in (await ask(api))[1]


async def test_embeddings_input(serve: Serve) -> None:
    async with (
        Upstream().running() as upstream,
        serve(config(upstream.url, guardrails=(rail("PII", "Redact"),))) as api,
        api.sdk() as client,
    ):
        await client.embeddings.create(model="embed", input=["x", SAID], encoding_format="float")
        await client.embeddings.create(model="embed", input=SAID, encoding_format="float")
        assert [body["input"] for body in upstream.bodies] == [["x", SHOWN], SHOWN]
        with pytest.raises(openai.BadRequestError, match="tokens"):
            await client.embeddings.create(model="embed", input=[1, 2, 3])


async def test_whole_answers(serve: Serve) -> None:
    for action, content, finish in (
        ("Block", None, "content_filter"),
        ("Redact", SHOWN, "stop"),
        ("Audit", SAID, "stop"),
    ):
        rails = (rail("PII", action, ("Output",)),)
        async with (
            Upstream(words=tuple(SAID.split())).running() as upstream,
            serve(config(upstream.url, guardrails=rails)) as api,
            api.sdk() as client,
        ):
            raw = await client.chat.completions.with_raw_response.create(model="chat", messages=HELLO)
            answer = raw.parse()
            assert answer.choices[0].message.content == content
            assert answer.choices[0].finish_reason == finish
            assert answer.usage is not None, "it was generated, and is billed"
            assert (answer.model_extra or {})["x_aiapp_guardrails"] == [{"name": "rail", "action": action.lower()}]
            assert raw.headers["x-aiapp-guardrails"] == f"rail={action.lower()}"
            assert violations(api, action.lower()) == 1


async def test_redacted_stream(serve: Serve) -> None:
    rails = (rail("PII", "Redact", ("Output",)),)
    async with (
        Upstream(words=SPLIT).running() as upstream,
        serve(config(upstream.url, guardrails=rails)) as api,
        api.sdk() as client,
    ):
        chunks = [c async for c in await client.chat.completions.create(model="chat", messages=HELLO, stream=True)]
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == SHOWN
        assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
        assert chunks[-1].choices[0].finish_reason == "stop", "what was held back comes before"
        assert (chunks[-1].model_extra or {})["x_aiapp_guardrails"] == [{"name": "rail", "action": "redact"}]
        assert violations(api, "redact") == 1


async def test_audited_stream_is_not_delayed(serve: Serve) -> None:
    rails = (rail("PII", "Audit", ("Output",)),)
    async with Upstream(words=SPLIT).running() as upstream, serve(config(upstream.url, guardrails=rails)) as api:
        chunks = await stream(api)
        assert tuple(c["choices"][0]["delta"].get("content") for c in chunks[1:-1]) == SPLIT
        assert chunks[-1]["x_aiapp_guardrails"] == [{"name": "rail", "action": "audit"}]
        assert violations(api, "audit") == 1


async def test_blocked_stream_is_complete_and_stops_the_backend(serve: Serve) -> None:
    rails = (rail("PII", "Block", ("Output",)),)
    upstream = Upstream(words=(*SPLIT, *(["more"] * 1000)), between=0.02)
    async with upstream.running(), serve(config(upstream.url, guardrails=rails)) as api, api.sdk() as client:
        chunks = [c async for c in await client.chat.completions.create(model="chat", messages=HELLO, stream=True)]
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
        assert text == "Write to "
        assert chunks[-1].choices[0].finish_reason == "content_filter"
        assert (chunks[-1].model_extra or {})["x_aiapp_guardrails"] == [{"name": "rail", "action": "block"}]
        await until("the backend notices", upstream.left.is_set)
        await until("over", lambda: api.metric("ai_active_requests") == 0)
        assert api.metric('ai_streams_truncated_total{model="chat"}') == 0
        counted = 'ai_tokens_total{endpoint="chat/completions",model="chat",type="output"}'
        assert api.metric(counted) > 0, "what was generated is billed"


async def test_choices_are_looked_at_one_by_one(serve: Serve) -> None:
    upstream = streaming(
        delta("bob", index=0),
        delta("all ", index=1),
        delta("@x.com", index=0),
        delta("is ", index=1),
        delta(" said", index=0),
        delta("well", index=1),
        delta(finish="stop", index=0),
        delta(finish="stop", index=1),
    )
    for action, shown, end in (("Redact", "[EMAIL] said", "stop"), ("Block", "", "content_filter")):
        rails = (rail("PII", action, ("Output",)),)
        async with upstream.running(), serve(config(upstream.url, guardrails=rails)) as api:
            chunks = await stream(api, n=2)
            assert text_of(chunks, 0) == shown
            assert text_of(chunks, 1) == "all is well"
            assert ends_of(chunks) == {0: end, 1: "stop"}


async def test_tool_calls_reasoning_and_refusals_of_a_stream(serve: Serve) -> None:
    def event(**fields: Any) -> bytes:
        choice = {"index": 0, "delta": fields, "finish_reason": None}
        return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"

    def call(number: int, text: str) -> bytes:
        return event(tool_calls=[{"index": number, "function": {"arguments": text}}])

    upstream = streaming(
        event(reasoning_content="bob@"),
        event(reasoning_content="x.com"),
        event(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "mail", "arguments": ""}}]),
        call(0, '{"to":"bob@'),
        call(1, '{"to":"eve@y'),
        call(0, 'x.com"}'),
        call(1, '.org"}'),
        event(refusal="not bob@x.com"),
        delta(finish="tool_calls"),
    )
    rails = (rail("PII", "Redact", ("Output",)),)
    async with upstream.running(), serve(config(upstream.url, guardrails=rails)) as api:
        chunks = await stream(api)
    assert text_of(chunks, field="reasoning_content") == "[EMAIL]"
    assert text_of(chunks, field="refusal") == "not [EMAIL]"
    calls: dict[int, str] = {}
    for chunk in chunks:
        for piece in chunk["choices"][0]["delta"].get("tool_calls") or ():
            calls[piece["index"]] = calls.get(piece["index"], "") + piece["function"]["arguments"]
    assert calls == {0: '{"to":"[EMAIL]"}', 1: '{"to":"[EMAIL]"}'}
    assert ends_of(chunks) == {0: "tool_calls"}


async def test_log_probabilities_do_not_spell_out_what_is_kept_back(serve: Serve) -> None:
    spelt = {"content": [{"token": "bob@x.com", "logprob": 0}]}
    upstream = streaming(delta("see bob@x.com", logprobs=spelt), delta(finish="stop"))
    rails = (rail("PII", "Redact", ("Output",)),)
    async with upstream.running(), serve(config(upstream.url, guardrails=rails)) as api:
        assert "bob" not in json.dumps(await stream(api))


async def test_no_chunk_without_choices_is_made(serve: Serve) -> None:
    """Clients take `choices[0]` of every chunk but the one with the usage."""
    words = [json.loads(delta(text).removeprefix(b"data: ")) | {"usage": None} for text in ("by ", "bob", "@x.com")]
    events = [b"data: " + json.dumps(document).encode() + b"\n\n" for document in words]
    upstream = streaming(*events, delta(finish="stop"))
    rails = (rail("PII", "Redact", ("Output",)),)
    async with upstream.running(), serve(config(upstream.url, guardrails=rails)) as api:
        chunks = await stream(api)
        assert all(chunk["choices"] for chunk in chunks)
        assert text_of(chunks) == "by [EMAIL]"


async def test_what_says_nothing_passes_untouched_and_in_order(serve: Serve) -> None:
    comment = b": keep-alive\n\n"
    odd = b'data: {"choices":[],  "x_vendor":1}\n\n'
    events = (delta("a b "), comment, odd, delta("c\u00e9 "), delta(finish="stop"), b"data: [DONE]\n\n")
    upstream = Upstream(raw=(b"".join(events),))
    rails = (rail("PII", "Redact", ("Output",)),)
    async with upstream.running(), serve(config(upstream.url, guardrails=rails)) as api:
        request = {"model": "chat", "messages": HELLO, "stream": True}
        async with api.http.post(f"{api.url}/v1/chat/completions", json=request) as answer:
            assert await answer.read() == b"".join(events)


async def test_stream_that_breaks_off_still_does(serve: Serve) -> None:
    rails = (rail("PII", "Redact", ("Output",)),)
    async with (
        Upstream(words=SPLIT, break_after=3).running() as upstream,
        serve(config(upstream.url, guardrails=rails)) as api,
        api.sdk() as client,
    ):
        with pytest.raises(openai.APIError, match="not complete"):
            _ = [c async for c in await client.chat.completions.create(model="chat", messages=HELLO, stream=True)]
        await until("counted", lambda: api.metric('ai_streams_truncated_total{model="chat"}') == 1)


async def test_client_that_leaves_stops_the_backend_and_is_billed(serve: Serve) -> None:
    rails = (rail("PII", "Redact", ("Output",)),)
    upstream = Upstream(between=0.05, words=("one ", "two ") * 1000)
    async with upstream.running(), serve(config(upstream.url, guardrails=rails)) as api:
        body = {"model": "chat", "messages": HELLO, "stream": True}
        async with api.http.post(f"{api.url}/v1/chat/completions", json=body) as answer:
            await answer.content.readany()
            answer.close()
        await until("the backend notices", upstream.left.is_set)
        await until("over", lambda: api.metric("ai_active_requests") == 0)
        counted = 'ai_tokens_total{endpoint="chat/completions",model="chat",type="output"}'
        await until("billed", lambda: api.metric(counted) > 0)


async def test_stream_without_a_finish_reason_loses_nothing(serve: Serve) -> None:
    rails = (rail("PII", "Redact", ("Output",)),)
    async with streaming(delta("by bob")).running() as upstream, serve(config(upstream.url, guardrails=rails)) as api:
        assert text_of(await stream(api)) == "by bob"


async def test_guardrails_run_in_their_order(serve: Serve) -> None:
    first = rail("Pattern", "Redact", patterns=("cat",))
    second = rail("Pattern", "Block", patterns=("cat",)).model_copy(update={"name": "second"})
    messages = [{"role": "user", "content": "a cat"}]
    async with Upstream().running() as upstream:
        async with serve(config(upstream.url, guardrails=(first, second))) as api:
            assert (await ask(api, messages=messages))[0] == 200
        async with serve(config(upstream.url, guardrails=(second, first))) as api:
            assert (await ask(api, messages=messages))[0] == 400


@pytest.mark.parametrize("streamed", [False, True])
async def test_json_schema(serve: Serve, tmp_path: Any, streamed: bool) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps({"type": "object", "required": ["a"]}))
    rails = (rail("JSONSchema", "Block", ("Output",), schemaFile=str(file)),)
    for words, fits in ((('{"a":', "1}"), True), (('{"b":', "1}"), False), (("no", "JSON"), False)):
        async with Upstream(words=words).running() as upstream, serve(config(upstream.url, guardrails=rails)) as api:
            end = ends_of(await stream(api))[0] if streamed else (await ask(api))[2]["choices"][0]["finish_reason"]
            assert end == ("stop" if fits else "content_filter")


async def test_length(serve: Serve) -> None:
    rails = (rail("Length", "Block", ("Input", "Output"), maxCharacters=10),)
    async with (
        Upstream(words=("12345",) * 3).running() as upstream,
        serve(config(upstream.url, guardrails=rails)) as api,
    ):
        two = [{"role": "user", "content": "123456"}, {"role": "user", "content": "12345"}]
        assert (await ask(api, messages=two))[0] == 400
        assert (await ask(api))[2]["choices"][0]["finish_reason"] == "content_filter"
        chunks = await stream(api)
        assert (text_of(chunks), ends_of(chunks)) == ("1234512345", {0: "content_filter"})


async def test_nothing_is_looked_at_behind_one_that_blocks(serve: Serve) -> None:
    """A length that is checked first saves the work of all others."""
    rails = (rail("Length", maxCharacters=5), rail("PII").model_copy(update={"name": "second"}))
    async with Upstream().running() as upstream, serve(config(upstream.url, guardrails=rails)) as api:
        _, headers, _ = await ask(api, messages=[{"role": "user", "content": SAID}])
        assert headers["x-aiapp-guardrails"] == "rail=block"


async def test_large_requests_are_looked_at_whole(serve: Serve) -> None:
    async with (
        Upstream().running() as upstream,
        serve(config(upstream.url, guardrails=(rail("PII", "Redact"),))) as api,
    ):
        filling = "lorem ipsum " * 20_000
        await ask(api, messages=[{"role": "user", "content": f"{filling}{SAID}"}])
        assert upstream.bodies[0]["messages"][0]["content"] == f"{filling}{SHOWN}"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": 5},
        {"role": "user", "content": [1, {"text": 2}, {"type": "text"}]},
        {"role": "assistant", "tool_calls": 5},
        {"role": "assistant", "tool_calls": [1, {"index": [], "function": 1}, {"function": {"arguments": 1}}]},
        {"role": [1], "content": "x"},
    ],
)
async def test_odd_messages_are_left_to_the_backend(serve: Serve, message: dict[str, Any]) -> None:
    rails = (rail("PII", "Redact"), rail("PromptInjection"), rail("Length", maxCharacters=1000))
    async with Upstream().running() as upstream, serve(config(upstream.url, guardrails=rails)) as api:
        assert (await ask(api, messages=[message]))[0] == 200
        assert len(upstream.bodies) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "Pattern", "patterns": ["ok", "a("]}, r"guardrail rail: pattern 'a\('"),
        ({"kind": "Pattern", "patterns": [r"(?=a)"]}, "guardrail rail: pattern"),
        ({"kind": "Pattern", "patterns": ["a*"]}, "matches the empty text"),
        ({"kind": "Topics", "topics": [" "]}, "guardrail rail: topics"),
    ],
)
async def test_wrong_guardrails_are_refused_by_name(serve: Serve, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongConfig, match=words):
        async with serve(config("http://127.0.0.1:9/v1", guardrails=(rail(**fields),))):
            pass
