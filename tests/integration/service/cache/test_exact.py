"""The very same request is answered from Redis."""

import asyncio
import json
import logging
import re
import time

import pytest
from redis import Redis

from aiapp_service.cache.exact import ExactCache
from aiapp_service.config import CacheConfig, ExactCacheConfig
from tests.integration.service.cache.asking import HELLO, ask, bearer, counted, exact, two_tenants
from tests.integration.service.conftest import Serve, config
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until


def kept(redis) -> list[bytes]:
    with Redis.from_url(redis.url) as client:
        return list(client.keys("aiapp:answer:*"))


def _idle() -> bool:
    return not [task for task in asyncio.all_tasks() if "Writes" in task.get_coro().__qualname__]


async def test_same_request_is_answered_once_by_the_backend(serve: Serve, redis, tmp_path) -> None:
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        first = await ask(api)
        assert (first.status, first.cache, first.age) == (200, "miss", None)
        await until("kept", lambda: kept(redis))
        # Another way to spell it, and fields that shape nothing.
        second = await ask(api, user="somebody", metadata={"a": "b"}, store=True)
        assert (second.status, second.cache, second.age) == (200, "exact", "0")
        assert second.body == first.body
        assert len(upstream.bodies) == 1
        assert (counted(api, "exact", "miss"), counted(api, "exact", "hit")) == (1, 1)


async def test_cached_answer_costs_nothing_and_is_logged_as_such(serve: Serve, redis, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, "aiapp_service.access")
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        await ask(api)
        await until("kept", lambda: kept(redis))
        await ask(api)
        await until("logged", lambda: len(caplog.records) == 2)
        line = vars(caplog.records[1])
        assert (line["cache"], line["backend"], line["cost_usd"]) == ("exact", None, "0")
        assert (line["input_tokens"], line["output_tokens"]) == (7, len(WORDS))


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "Hello!"}]},
        {"messages": [{"role": "system", "content": "Hello"}, *HELLO]},
        {"temperature": 0.5},
        {"seed": 1},
        {"max_tokens": 9},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"x_vendor": 1},
    ],
)
async def test_another_request_is_another_one(serve: Serve, redis, tmp_path, change) -> None:
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        await ask(api)
        await until("kept", lambda: kept(redis))
        assert (await ask(api, **change)).cache == "miss"
        assert len(upstream.bodies) == 2


async def test_tenants_do_not_share(serve: Serve, redis, tmp_path) -> None:
    wanted = exact("http://x", redis, tmp_path, auth=two_tenants(tmp_path))
    async with Upstream().running() as upstream:
        wanted = wanted.model_copy(update={"inference": config(upstream.url).inference})
        async with serve(wanted) as api:
            assert (await ask(api, bearer("alice"))).cache == "miss"
            await until("kept", lambda: kept(redis))
            assert (await ask(api, bearer("bob"))).cache == "miss"
            assert (await ask(api, bearer("alice"))).cache == "exact"
            assert len(upstream.bodies) == 2
            keys = b" ".join(kept(redis))
            assert b"alice" not in keys
            assert b"Hello" not in keys


async def test_another_backend_is_another_answer(serve: Serve, redis, tmp_path) -> None:
    async with (
        Upstream(words=("old",)).running() as old,
        Upstream(words=("new",)).running() as new,
        serve(exact(old.url, redis, tmp_path)) as api,
    ):
        await ask(api)
        await until("kept", lambda: kept(redis))
        api.gateway.replace(exact(new.url, redis, tmp_path))
        answer = await ask(api)
        assert answer.cache == "miss"
        assert json.loads(answer.body)["choices"][0]["message"]["content"] == "new"


@pytest.mark.parametrize("first_streams", [True, False])
@pytest.mark.parametrize("then_streams", [True, False])
async def test_sdk_takes_it_as_a_stream_and_as_a_whole(
    serve: Serve, redis, tmp_path, first_streams, then_streams
) -> None:
    text = ""
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        async with api.sdk() as client:
            for streams in (first_streams, then_streams):
                if streams:
                    options = {"include_usage": True}
                    chunks = [
                        chunk
                        async for chunk in await client.chat.completions.create(
                            model="chat", messages=HELLO, stream=True, stream_options=options
                        )
                    ]
                    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
                    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
                    assert chunks[-1].usage is not None
                    assert chunks[-1].usage.prompt_tokens == 7
                else:
                    whole = await client.chat.completions.create(model="chat", messages=HELLO)
                    said = str(whole.choices[0].message.content)
                    assert whole.object == "chat.completion"
                    assert whole.choices[0].finish_reason == "stop"
                    assert whole.usage is not None
                    assert whole.usage.prompt_tokens == 7
                text = text or said
                assert said.replace(" ", "") == "".join(WORDS)
                await until("kept", lambda: kept(redis))
        assert said == text
        assert len(upstream.bodies) == 1


async def test_stream_without_usage_asked_for_has_none(serve: Serve, redis, tmp_path) -> None:
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        await ask(api, stream=True)
        await until("kept", lambda: kept(redis))
        replayed = await ask(api, stream=True)
        assert replayed.cache == "exact"
        assert b"usage" not in replayed.body
        assert replayed.body.endswith(b"data: [DONE]\n\n")
        whole = json.loads((await ask(api)).body)
        assert whole["usage"]["prompt_tokens"] == 7, "the usage was seen all the same"


async def test_embeddings_are_kept_too(serve: Serve, redis, tmp_path) -> None:
    fields = {"model": "embed", "input": "text", "messages": None}
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        first = await ask(api, path="embeddings", **fields)
        await until("kept", lambda: kept(redis))
        again = await ask(api, path="embeddings", **fields)
        other = await ask(api, path="embeddings", **{**fields, "input": ["text"]})
        assert (first.cache, again.cache, other.cache) == ("miss", "exact", "miss")
        assert again.body == first.body
        assert len(upstream.bodies) == 2


async def test_time_runs_out(serve: Serve, redis, tmp_path) -> None:
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path, ttl=0.3)) as api:
        await ask(api)
        await until("kept", lambda: kept(redis))
        await until("forgotten", lambda: not kept(redis))
        assert (await ask(api)).cache == "miss"
        assert len(upstream.bodies) == 2


async def test_age_grows(serve: Serve, redis, tmp_path, monkeypatch) -> None:
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        await ask(api)
        await until("kept", lambda: kept(redis))
        now = time.time()
        monkeypatch.setattr("aiapp_service.cache.stored.time.time", lambda: now + 42)
        assert (await ask(api)).age in ("42", "43")


OFF = [
    ({"Cache-Control": "no-store"}, {}),
    ({"Cache-Control": "max-age=0, No-Store"}, {}),
    ({}, {"x_cache": False}),
    ({}, {"n": 2}),
    ({}, {"temperature": 1.5}),
]


@pytest.mark.parametrize(("headers", "fields"), OFF)
async def test_client_may_opt_out(serve: Serve, redis, tmp_path, headers, fields) -> None:
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        for _ in range(2):
            assert (await ask(api, headers, **fields)).cache == "bypass"
        await until("written, if it were", _idle)
        assert kept(redis) == []
        assert len(upstream.bodies) == 2
        assert not [body for body in upstream.bodies if "x_cache" in body]
        assert counted(api, "exact", "bypass") == 2


async def test_no_cache_gets_a_new_answer_that_is_kept_in_place_of_the_old(serve: Serve, redis, tmp_path) -> None:
    async with Upstream(words=("old",)).running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        await ask(api)
        await until("kept", lambda: kept(redis))
        upstream.words = ("new",)
        assert b"old" in (await ask(api)).body
        fresh = await ask(api, {"Cache-Control": "no-cache"})
        assert (fresh.cache, b"new" in fresh.body) == ("bypass", True)
        await until("kept", _idle)
        assert b"new" in (await ask(api)).body


async def test_x_cache_is_never_sent_on_and_has_to_be_a_truth_value(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api:
        answer = await ask(api, x_cache=True)
        assert (answer.status, answer.cache) == (200, None)
        assert "x_cache" not in upstream.bodies[0]
        refused = await ask(api, x_cache="no")
        assert refused.status == 400
        assert json.loads(refused.body)["error"]["param"] == "x_cache"


CUT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
LENGTH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
CALL = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t"}]},"finish_reason":"tool_calls"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "fault",
    [{"break_after": 2}, {"done": False}, {"raw": (CUT, LENGTH, DONE)}, {"raw": (CALL, DONE)}, {"status": 400}],
    ids=["breaks", "no DONE", "length", "tool call", "refused"],
)
async def test_what_is_not_complete_is_not_kept(serve: Serve, redis, tmp_path, fault) -> None:
    async with Upstream(**fault).running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        for _ in range(2):
            assert (await ask(api, stream=True)).cache == "miss"
        await until("written, if it were", _idle)
        assert kept(redis) == []
        assert len(upstream.bodies) == 2


async def test_what_redis_has_no_room_for_is_not_kept(serve: Serve, redis, tmp_path) -> None:
    """Queues and limits need the rest."""
    with Redis.from_url(redis.url) as client:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.2))
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        assert (await ask(api)).cache == "miss"
        await until("written, if it were", _idle)
        assert kept(redis) == []


async def test_without_redis_everything_goes_on(serve: Serve, redis, tmp_path) -> None:
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        await ask(api)
        await until("kept", lambda: kept(redis))
        redis.server.stop()
        assert (await ask(api)).cache == "miss"
        assert (await ask(api, stream=True)).cache == "miss"
        assert len(upstream.bodies) == 3
        assert counted(api, "exact", "error") == 2
        redis.server.start()

        async def hit() -> bool:
            return (await ask(api)).cache == "exact"

        await until("it is used again", hit)


async def test_without_redis_configured_there_is_no_cache_and_that_is_said(serve: Serve, caplog) -> None:
    wanted = {"cache": CacheConfig(exact=ExactCacheConfig())}
    async with Upstream().running() as upstream, serve(config(upstream.url, **wanted)) as api:
        answer = await ask(api)
        assert (answer.status, answer.cache) == (200, None)
        assert [line for line in caplog.messages if re.search(r"cache\.exact is off.*redis", line)]


async def test_what_is_being_written_is_written_when_the_service_stops(
    serve: Serve, redis, tmp_path, monkeypatch
) -> None:
    put = ExactCache.put

    async def late(*values) -> None:
        await asyncio.sleep(0.3)
        await put(*values)

    monkeypatch.setattr(ExactCache, "put", late)
    async with Upstream().running() as upstream:
        async with serve(exact(upstream.url, redis, tmp_path)) as api:
            assert (await ask(api)).cache == "miss"
        assert len(kept(redis)) == 1


async def test_broken_value_is_a_miss(serve: Serve, redis, tmp_path) -> None:
    async with Upstream().running() as upstream, serve(exact(upstream.url, redis, tmp_path)) as api:
        await ask(api)
        await until("kept", lambda: kept(redis))
        with Redis.from_url(redis.url) as client:
            client.set(kept(redis)[0], b"\xff\x00nonsense")
        answer = await ask(api)
        assert (answer.status, answer.cache) == (200, "miss")
