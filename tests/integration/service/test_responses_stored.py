"""Responses that are kept: the tenant's own, in Redis where there is one, and never in the way of an answer."""

from pathlib import Path
from typing import Any

import openai
import pytest
import redis as redis_client

from aiapp_service.config import AuthConfig, RedisConfig
from tests.integration.servers.redis import RedisServer
from tests.integration.service.conftest import Serve
from tests.integration.service.patience import patient
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until

SAID = " ".join(WORDS)
DAY_SECONDS = 24 * 3600


@pytest.fixture(autouse=True)
def _time_for_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs many tests at once may be slower than what requests wait for."""
    monkeypatch.setattr("aiapp_service.stores.redis.DEADLINE_SECONDS", 5.0)


@pytest.fixture(params=["in the process", "in Redis"])
def fields(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Configuration of either place."""
    if request.param == "in the process":
        return {}
    return with_redis(request.getfixturevalue("redis"), tmp_path)


def with_redis(server: RedisServer, folder: Path) -> dict[str, Any]:
    file = folder / "redis-url"
    file.write_text(server.url)
    return {"redis": RedisConfig(url_file=file)}


def keys_of(folder: Path, **keys: str) -> dict[str, Any]:
    """Clients with their API keys; each is a tenant."""
    home = folder / "keys"
    home.mkdir()
    for client, key in keys.items():
        (home / client).write_text(key)
    return {"auth": AuthConfig(api_keys_dir=home)}


async def test_conversation_goes_on_and_can_be_looked_at(serve: Serve, fields: dict[str, Any]) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url, **fields)) as api, api.sdk() as client:
        first = await client.responses.create(model="chat", input="One", instructions="Once")
        streamed = await client.responses.create(model="chat", input="Two", previous_response_id=first.id, stream=True)
        async for event in streamed:
            if event.type == "response.completed":
                # At once: it is kept before the client hears of its end.
                third = await client.responses.create(
                    model="chat", input="Three", previous_response_id=event.response.id
                )
                second = event.response
        said = [message["content"] for message in upstream.bodies[-1]["messages"]]
        assert said == ["One", SAID, "Two", "".join(WORDS), "Three"]
        kept = await client.responses.retrieve(third.id)
        assert kept == third
        assert (kept.previous_response_id, kept.store) == (second.id, True)
        items = (await client.responses.input_items.list(second.id)).data
        assert [item.content[0].text for item in items if item.type == "message"] == ["Two"]
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(first.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.delete(first.id)
        again = await client.responses.create(model="chat", input="Four", previous_response_id=second.id)
        assert again.output_text == SAID, "what came after a response needs it no longer"
        assert upstream.bodies[-1]["messages"][0]["content"] == "One"


async def test_items_can_be_referred_to(serve: Serve, fields: dict[str, Any]) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url, **fields)) as api, api.sdk() as client:
        first = await client.responses.create(model="chat", input="One")
        items: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "Two"}]
        await client.responses.create(model="chat", input=items)
        assert upstream.bodies[-1]["messages"][0] == {"role": "assistant", "content": SAID}
        with pytest.raises(openai.NotFoundError, match="refers to an item"):
            await client.responses.create(model="chat", input=[{"type": "item_reference", "id": "msg_1"}])


async def test_not_kept_when_not_wanted(serve: Serve, fields: dict[str, Any]) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url, **fields)) as api, api.sdk() as client:
        answer = await client.responses.create(model="chat", input="One", store=False)
        assert answer.store is False
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(answer.id)
        with pytest.raises(openai.NotFoundError) as caught:
            await client.responses.create(model="chat", input="Two", previous_response_id=answer.id)
        assert caught.value.param == "previous_response_id"


async def test_another_tenant_sees_nothing(serve: Serve, fields: dict[str, Any], tmp_path: Path) -> None:
    access = keys_of(tmp_path, ann="key-of-ann", bob="key-of-bob")
    async with (
        Upstream().running() as upstream,
        serve(patient(upstream.url, **fields, **access)) as api,
        api.sdk("key-of-ann") as ann,
        api.sdk("key-of-bob") as bob,
    ):
        mine = await ann.responses.create(model="chat", input="Secret")
        reference: Any = {"type": "item_reference", "id": mine.output[0].id}
        for attempt in (
            lambda: bob.responses.retrieve(mine.id),
            lambda: bob.responses.delete(mine.id),
            lambda: bob.responses.input_items.list(mine.id),
            lambda: bob.responses.create(model="chat", input="x", previous_response_id=mine.id),
            lambda: bob.responses.create(model="chat", input=[reference]),
        ):
            with pytest.raises(openai.NotFoundError):
                await attempt()
        assert (await ann.responses.retrieve(mine.id)).id == mine.id


async def test_pages_of_items(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url)) as api, api.sdk() as client:
        items: Any = [{"role": "user", "content": str(number)} for number in range(5)]
        answer = await client.responses.create(model="chat", input=items)
        pages = client.responses.input_items.list(answer.id, limit=2, order="asc")
        found = [item.content[0].text async for item in pages if item.type == "message"]
        assert found == ["0", "1", "2", "3", "4"]
        latest = (await client.responses.input_items.list(answer.id, limit=1)).data
        assert [item.content[0].text for item in latest if item.type == "message"] == ["4"]
        for wrong in ("limit=0", "limit=x", "order=up", "after=nobody"):
            path = f"{api.url}/v1/responses/{answer.id}/input_items?{wrong}"
            async with api.http.get(path) as refused:
                assert refused.status == 400
                assert (await refused.json())["error"]["param"] == wrong.partition("=")[0]


async def test_another_replica_knows_them_for_thirty_days(serve: Serve, redis: RedisServer, tmp_path: Path) -> None:
    async with Upstream().running() as upstream:
        wanted = patient(upstream.url, **with_redis(redis, tmp_path))
        async with serve(wanted) as one, serve(wanted) as other, one.sdk() as here, other.sdk() as there:
            answer = await here.responses.create(model="chat", input="One")
            assert (await there.responses.retrieve(answer.id)).output_text == SAID
    with redis_client.Redis.from_url(redis.url, decode_responses=True) as client:
        (key,) = client.keys("*response*")
        assert 29 * DAY_SECONDS < client.ttl(key) <= 30 * DAY_SECONDS


async def test_redis_that_is_down_is_in_nobodys_way(
    serve: Serve, redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Upstream().running() as upstream,
        serve(patient(upstream.url, **with_redis(redis, tmp_path))) as api,
        api.sdk() as client,
    ):
        before = await client.responses.create(model="chat", input="One")
        redis.server.stop()
        answer = await client.responses.create(model="chat", input="Two")
        assert (answer.output_text, answer.store) == (SAID, False)
        assert "response not stored" in caplog.text
        asked = len(upstream.bodies)
        for attempt in (
            lambda: client.responses.create(model="chat", input="x", previous_response_id=before.id),
            lambda: client.responses.retrieve(before.id),
            lambda: client.responses.delete(before.id),
        ):
            with pytest.raises(openai.InternalServerError) as caught:
                await attempt()
            assert caught.value.status_code == 503
            assert caught.value.response.headers["Retry-After"]
        assert len(upstream.bodies) == asked, "nothing is asked with half a conversation"
        redis.server.start()

        async def back() -> bool:
            return bool((await client.responses.create(model="chat", input="x")).store)

        await until("kept again", back)
        assert (await client.responses.retrieve(before.id)).id == before.id


async def test_too_large_to_keep_is_answered_all_the_same(serve: Serve, fields: dict[str, Any]) -> None:
    async with Upstream().running() as upstream, serve(patient(upstream.url, **fields)) as api, api.sdk() as client:
        answer = await client.responses.create(model="chat", input="é" * 200_000)
        assert (answer.output_text, answer.store) == (SAID, False)
