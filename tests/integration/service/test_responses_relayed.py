"""Backends that speak the Responses API themselves, as an application sees them that uses OpenAI's SDK."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    BudgetConfig,
    CacheConfig,
    ExactCacheConfig,
    GuardrailConfig,
    InferenceConfig,
    ModelConfig,
    PriceConfig,
    ProviderConfig,
    ProviderKind,
    RateLimitConfig,
    RedisConfig,
    ResponsesMode,
    ServiceConfig,
)
from tests.integration.servers.redis import RedisServer
from tests.integration.service.conftest import Serve, Service
from tests.integration.service.native import SEARCH, USAGE, WORDS, Native
from tests.integration.service.patience import PATIENT, patient
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

SAID = "".join(WORDS)
SEARCHING: Any = [{"type": "web_search"}]
PRICE = PriceConfig(input_per_1m=Decimal(1), output_per_1m=Decimal(10))


def relayed(native: Native, *chats: Upstream, **fields: Any) -> ServiceConfig:
    """Model `chat` with a backend of this API, and after it backends of chats."""
    provider = ProviderConfig(
        name="native", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=native.url, responses=ResponsesMode.RELAY
    )
    places = tuple(InferenceConfig(name=f"m{n}", base_url=chat.url) for n, chat in enumerate(chats))
    backends = (
        BackendConfig(provider="native", model="gpt", price=PRICE),
        *(BackendConfig(inference=place.name, model=f"model-{place.name}") for place in places),
    )
    model = ModelConfig(name="chat", backends=backends, timeouts=PATIENT)
    return patient(**{"providers": (provider,), "inference": places, "models": (model,), **fields})


async def post(api: Service, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, bytes, str]:
    """Status, body, and what the cache says."""
    body = {"model": "chat", "input": "Hello", **fields}
    async with api.http.post(f"{api.url}/v1/responses", json=body, headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers.get("x-aiapp-cache", "")


def documents(events: bytes) -> list[dict[str, Any]]:
    lines = [line for line in events.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


async def test_bytes_come_through_and_are_counted(serve: Serve) -> None:
    async with Native().running() as upstream, serve(relayed(upstream)) as api:
        fields = {"store": False, "tools": SEARCHING, "x_vendor": 1, "max_output_tokens": 100}
        status, body, _ = await post(api, **fields)
        assert (status, body) == (200, upstream.sent)
        status, body, _ = await post(api, **fields, stream=True)
        assert (status, body) == (200, upstream.sent)
        assert upstream.bodies[0] == {"model": "gpt", "input": "Hello", **fields}
        assert upstream.bodies[1] == {"model": "gpt", "input": "Hello", **fields, "stream": True}
        for type_, count in (("input", 18), ("output", 8), ("cached", 4)):
            assert api.metric(f'ai_tokens_total{{endpoint="responses",model="chat",type="{type_}"}}') == count
        assert api.metric('ai_cost_usd{model="chat"}') == pytest.approx(2 * (9 + 40) / 1e6)
        assert api.metric('ai_requests_total{code="200",endpoint="responses",model="chat"}') == 2
        assert api.metric('ai_ttft_seconds_count{model="chat"}') == 1
        assert api.metric("ai_active_requests") == 0


async def test_inference_that_has_responses_is_asked_for_them(serve: Serve) -> None:
    async with Native().running() as upstream:
        own = InferenceConfig(name="own", base_url=upstream.url, responses=ResponsesMode.RELAY)
        # By a name, behind which there may be several.
        named = own.model_copy(update={"base_url": upstream.url.replace("127.0.0.1", "localhost")})
        for place in (own, named):
            model = ModelConfig(name="chat", backends=(BackendConfig(inference="own", model="m"),), timeouts=PATIENT)
            async with serve(patient(inference=(place,), models=(model,))) as api:
                status, body, _ = await post(api, store=False)
                assert (status, body) == (200, upstream.sent)


async def test_sdk_sees_what_the_provider_says(serve: Serve) -> None:
    async with (
        Native(searches=True).running() as upstream,
        serve(relayed(upstream)) as api,
        api.sdk() as client,
    ):
        async with client.responses.stream(model="chat", input="Hello", tools=SEARCHING) as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert [item.type for item in final.output] == ["web_search_call", "message"]
        assert (final.output_text, final.id, final.store) == (SAID, "resp_native1", True)
        assert final.usage is not None
        assert final.usage.to_dict() == USAGE


async def test_conversation_is_kept_here_and_sent_whole(serve: Serve, tmp_path: Path, redis: RedisServer) -> None:
    (tmp_path / "redis-url").write_text(redis.url)
    fields = {"redis": RedisConfig(url_file=tmp_path / "redis-url")}
    async with (
        Native(searches=True).running() as upstream,
        serve(relayed(upstream, **fields)) as api,
        api.sdk() as client,
    ):
        first = await client.responses.create(model="chat", input="One", instructions="Once", tools=SEARCHING)
        stream = await client.responses.create(model="chat", input="Two", previous_response_id=first.id, stream=True)
        second = [event async for event in stream][-1].response  # type: ignore[union-attr]
        assert (second.previous_response_id, second.store) == (first.id, True)
        reference: Any = [{"type": "item_reference", "id": second.output[1].id}, {"role": "user", "content": "Three"}]
        await client.responses.create(model="chat", input=reference)
        assert all(body["store"] is False for body in upstream.bodies)
        assert not any("previous_response_id" in body for body in upstream.bodies)
        said = {"type": "message", "role": "assistant", "content": SAID}
        one = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "One"}]}
        two = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Two"}]}
        assert upstream.bodies[1]["input"] == [one, SEARCH, said, two]
        assert upstream.bodies[2]["input"] == [said, {"role": "user", "content": "Three"}]
        assert await client.responses.retrieve(second.id) == second
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(first.id)


async def test_function_is_called_and_its_result_sent_back(serve: Serve) -> None:
    tool: Any = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}
    async with Native(calls="add").running() as upstream, serve(relayed(upstream)) as api, api.sdk() as client:
        async with client.responses.stream(model="chat", input="1+2?", tools=[tool]) as stream:
            pieces = [e.delta async for e in stream if e.type == "response.function_call_arguments.delta"]
            call = (await stream.get_final_response()).output[0]
        assert call.type == "function_call"
        assert "".join(pieces) == call.arguments
        upstream.calls = ""
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "3"}
        # As applications go on that keep the conversation themselves.
        items: Any = [{"role": "user", "content": "1+2?"}, call.model_dump(exclude_none=True), result]
        assert (await client.responses.create(model="chat", input=items, tools=[tool])).output_text == SAID
        assert "id" not in upstream.bodies[1]["input"][1], "it would look for what it has not kept"


async def test_another_tenant_cannot_go_on_with_it(serve: Serve, tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        (tmp_path / name).write_text(f"key-of-{name}")
    access = AuthConfig(api_keys_dir=tmp_path)
    async with (
        Native().running() as upstream,
        serve(relayed(upstream, auth=access)) as api,
        api.sdk("key-of-ann") as ann,
        api.sdk("key-of-bob") as bob,
    ):
        mine = await ann.responses.create(model="chat", input="Secret")
        for attempt in (
            lambda: bob.responses.create(model="chat", input="x", previous_response_id=mine.id),
            lambda: bob.responses.create(
                model="chat", input=[{"type": "item_reference", "id": mine.output[0].id or ""}]
            ),
            lambda: bob.responses.retrieve(mine.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await attempt()
        with pytest.raises(openai.NotFoundError, match="not stored here") as caught:
            await ann.responses.create(model="chat", input="x", previous_response_id="resp_kept_by_the_provider")
        assert (caught.value.param, caught.value.code) == ("previous_response_id", "response_not_found")
        assert len(upstream.bodies) == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"fail_before": True}, {"break_after": 0}])
async def test_one_with_chats_only_stands_in(serve: Serve, fault: dict[str, Any]) -> None:
    async with (
        Native().running() as native,
        Upstream().running() as chat,
        serve(relayed(native, chat)) as api,
        api.sdk() as client,
    ):
        first = await client.responses.create(model="chat", input="One")
        for name, value in fault.items():
            setattr(native, name, value)
        async with client.responses.stream(model="chat", input="Two", previous_response_id=first.id) as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert final.output_text == "onetwothreefour"
        assert (final.previous_response_id, final.store, final.status) == (first.id, True, "completed")
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert [message["content"] for message in chat.bodies[0]["messages"]] == ["One", SAID, "Two"]
        native.status, native.fail_before, native.break_after = 200, False, None
        native.words = ("back",)
        await until("it is asked again", lambda: not api.router.routes["chat"].backends[0].rests(float("inf")))
        third = await client.responses.create(model="chat", input="Three", previous_response_id=final.id)
        assert third.output_text in ("back", "one two three four"), "whichever answers goes on with it"


async def test_what_a_chat_cannot_say_is_told_by_those_who_can(serve: Serve) -> None:
    async with (
        Native(status=503).running() as native,
        Upstream().running() as chat,
        serve(relayed(native, chat)) as api,
    ):
        status, body, _ = await post(api, tools=SEARCHING)
        error = json.loads(body)["error"]
        assert (status, error["code"]) == (502, "backend_failed")
        assert "native/gpt answered 503" in error["message"]
        assert "takes chats only" in error["message"]
        assert chat.bodies == []
        # It is not a failure of that backend.
        assert api.metric('ai_backend_up{backend="m0/model-m0"}') == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"store": "yes"}, "store"),
        ({"input": []}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "tools[0].container"),
        (
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}]},
            "tools[0].container.file_ids",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
    ],
)
async def test_what_a_provider_would_have_to_keep_is_refused(serve: Serve, fields: dict[str, Any], param: str) -> None:
    async with Native().running() as upstream, serve(relayed(upstream)) as api:
        status, body, _ = await post(api, **fields)
        assert (status, json.loads(body)["error"]["param"]) == (400, param)
        assert upstream.bodies == []


@pytest.mark.parametrize("fault", [{"fail_after": 2}, {"break_after": 2}])
async def test_what_breaks_off_has_failed_and_is_not_kept(serve: Serve, fault: dict[str, Any]) -> None:
    async with Native(**fault).running() as upstream, serve(relayed(upstream)) as api, api.sdk() as client:
        events = [event async for event in await client.responses.create(model="chat", input="Hello", stream=True)]
        last = events[-1]
        assert last.type == "response.failed"
        assert last.response.error is not None
        assert "not complete" in last.response.error.message
        assert [event.sequence_number for event in events] == list(range(len(events)))
        await until("counted", lambda: api.metric('ai_streams_truncated_total{model="chat"}') == 1)
        assert api.metric('ai_tokens_total{endpoint="responses",model="chat",type="output"}') > 0
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(last.response.id)


async def test_client_that_leaves_stops_the_backend(serve: Serve) -> None:
    upstream = Native(between=0.05, words=("x",) * 2000)
    async with upstream.running(), serve(relayed(upstream)) as api:
        async with aiohttp.ClientSession() as leaving:
            body = {"model": "chat", "input": "Hello", "stream": True}
            answer = await leaving.post(f"{api.url}/v1/responses", json=body)
            await answer.content.readany()
            answer.close()
        await until("the backend notices", upstream.left.is_set)
        await until("no request under way", lambda: api.metric("ai_active_requests") == 0)
        used = 'ai_tokens_total{endpoint="responses",model="chat",type="output"}'
        await until("what was generated is billed", lambda: api.metric(used) > 0)


async def test_limits_and_budgets_hold(serve: Serve) -> None:
    budget = BudgetConfig(name="monthly", limit_usd=Decimal("0.0001"))
    async with Native().running() as upstream, serve(relayed(upstream, budgets=(budget,))) as api:
        # 49 millionths of a dollar each.
        assert [(await post(api, max_output_tokens=4))[0] for _ in range(4)] == [200, 200, 429, 429]
        assert len(upstream.bodies) == 2
    rates = RateLimitConfig(requests_per_minute=1)
    async with Native().running() as upstream, serve(relayed(upstream, rate_limit=rates)) as api:
        assert [(await post(api))[0] for _ in range(2)] == [200, 429]


async def test_cache_gives_it_again_whole_or_as_a_stream(serve: Serve, tmp_path: Path, redis: RedisServer) -> None:
    (tmp_path / "redis-url").write_text(redis.url)
    fields = {
        "redis": RedisConfig(url_file=tmp_path / "redis-url"),
        "cache": CacheConfig(exact=ExactCacheConfig(ttl=60)),
    }
    async with Native().running() as upstream, serve(relayed(upstream, **fields)) as api, api.sdk() as client:
        assert (await post(api, stream=True))[2] == "miss"

        async def hit() -> bool:
            return (await post(api))[2] == "exact"

        await until("kept", hit)
        asked = len(upstream.bodies)
        first, again = [json.loads((await post(api))[1]) for _ in range(2)]
        assert first["output"] == again["output"]
        assert first["id"] != again["id"], "each is kept by itself"
        async with client.responses.stream(model="chat", input="Hello") as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == SAID
        assert final.output_text == SAID
        assert (await client.responses.retrieve(final.id)).output_text == SAID
        assert len(upstream.bodies) == asked
        # Calls make somebody act, and what was looked up grows old: neither is given again.
        for change in ({"calls": "add"}, {"searches": True}):
            for name, value in change.items():
                setattr(upstream, name, value)
            results = [(await post(api, input=str(change)))[2] for _ in range(2)]
            assert results == ["miss", "miss"]


def rail(action: str, stage: str) -> GuardrailConfig:
    fields = {"name": "rail", "kind": "PII", "action": action, "stages": (stage,)}
    return GuardrailConfig.model_validate(fields)


async def test_guardrails_look_at_requests(serve: Serve) -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "I am bob@example.com"}]},
        {"type": "function_call_output", "call_id": "c", "output": "ann@example.com"},
    ]
    async with Native().running() as upstream, serve(relayed(upstream, guardrails=(rail("Redact", "Input"),))) as api:
        await post(api, input=items, instructions="Tell eve@example.com")
        sent = upstream.bodies[0]
        assert sent["input"][0]["content"][0]["text"] == "I am [EMAIL]"
        assert (sent["input"][1]["output"], sent["instructions"]) == ("[EMAIL]", "Tell [EMAIL]")
    async with Native().running() as upstream, serve(relayed(upstream, guardrails=(rail("Block", "Input"),))) as api:
        status, body, _ = await post(api, input="bob@example.com")
        error = json.loads(body)["error"]
        assert (status, error["code"], error["param"]) == (400, "content_filter", "input")
        assert upstream.bodies == []


SPLIT = ("Write", " to bob", "@exam", "ple.com", " today")


async def test_guardrails_redact_answers_everywhere(serve: Serve) -> None:
    shown = "Write to [EMAIL] today"
    async with (
        Native(words=SPLIT).running() as upstream,
        serve(relayed(upstream, guardrails=(rail("Redact", "Output"),))) as api,
        api.sdk() as client,
    ):
        whole = await client.responses.create(model="chat", input="Hello")
        assert whole.output_text == shown
        assert (await client.responses.retrieve(whole.id)).output_text == shown
        async with client.responses.stream(model="chat", input="Hello") as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == shown
        assert final.output_text == shown
        assert [event.sequence_number for event in events] == list(range(len(events)))
        _, body, _ = await post(api, stream=True)
        assert b"bob" not in body
        assert b"ple.com" not in body
        told = documents(body)[-1]["response"]["x_aiapp_guardrails"]
        assert told == [{"name": "rail", "action": "redact"}]
        assert api.metric('ai_guardrail_violations_total{action="redact",guardrail="rail"}') == 3


async def test_guardrails_block_answers(serve: Serve) -> None:
    async with (
        Native(words=(*SPLIT, *("x",) * 5)).running() as upstream,
        serve(relayed(upstream, guardrails=(rail("Block", "Output"),))) as api,
    ):
        for stream in (False, True):
            _, body, _ = await post(api, stream=stream)
            response = documents(body)[-1]["response"] if stream else json.loads(body)
            assert (response["status"], response["output"]) == ("incomplete", [])
            assert response["incomplete_details"] == {"reason": "content_filter"}
            assert b"example" not in body
        assert b"response.completed" not in body
        assert api.metric('ai_guardrail_violations_total{action="block",guardrail="rail"}') == 2
