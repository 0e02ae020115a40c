"""Identical requests at the same time are one request to the backend."""

import asyncio

import aiohttp
import pytest

from tests.integration.service.cache.asking import HELLO, ask, bearer, counted, exact, two_tenants
from tests.integration.service.conftest import FAST, Serve, Service
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until


async def under_way(api: Service, count: int) -> None:
    await until(f"{count} under way", lambda: api.metric("ai_active_requests") == count)


@pytest.mark.parametrize("streams", [False, True])
async def test_fifty_are_one(serve: Serve, redis, tmp_path, streams) -> None:
    upstream = Upstream(before_headers=0.4)
    async with upstream.running(), serve(exact(upstream.url, redis, tmp_path)) as api:
        # Half of them the other way: an answer is an answer.
        answers = await asyncio.gather(*(ask(api, stream=streams ^ (number % 2 == 0)) for number in range(50)))
        assert {answer.status for answer in answers} == {200}
        assert sorted(str(answer.cache) for answer in answers) == ["exact"] * 49 + ["miss"]
        assert all(WORDS[-1].encode() in answer.body for answer in answers)
        assert all(answer.body.endswith(b"[DONE]\n\n") for answer in answers if answer.body.startswith(b"data:"))
        assert len(upstream.bodies) == 1
        assert counted(api, "exact", "shared") + counted(api, "exact", "hit") == 49


async def test_leader_leaves_and_the_others_get_an_answer(serve: Serve, redis, tmp_path) -> None:
    upstream = Upstream(before_headers=1.0)
    async with upstream.running(), serve(exact(upstream.url, redis, tmp_path)) as api:
        async with aiohttp.ClientSession() as leaving:
            leader = asyncio.create_task(
                leaving.post(f"{api.url}/v1/chat/completions", json={"model": "chat", "messages": HELLO})
            )
            await upstream.asked.wait()
            others = [asyncio.create_task(ask(api)) for _ in range(10)]
            await under_way(api, 11)
            upstream.before_headers = 0.2
            leader.cancel()
            await asyncio.gather(leader, return_exceptions=True)
        answers = await asyncio.gather(*others)
        assert sorted(str(answer.cache) for answer in answers) == ["exact"] * 9 + ["miss"]
        assert len(upstream.bodies) == 2
        assert upstream.left.is_set()


async def test_leader_leaves_in_the_middle_of_its_stream(serve: Serve, redis, tmp_path) -> None:
    upstream = Upstream(between=0.1, words=("x",) * 30)
    async with upstream.running(), serve(exact(upstream.url, redis, tmp_path)) as api:
        body = {"model": "chat", "messages": HELLO, "stream": True}
        answer = await api.http.post(f"{api.url}/v1/chat/completions", json=body)
        await answer.content.readany()
        other = asyncio.create_task(ask(api, stream=True))
        await under_way(api, 2)
        upstream.between = 0.0
        answer.close()
        found = await other
        assert (found.status, found.cache) == (200, "miss")
        assert found.body.count(b'"x"') == 30
        assert len(upstream.bodies) == 2
        await until("over", lambda: api.metric("ai_active_requests") == 0)
        spoken = 'ai_tokens_total{endpoint="chat/completions",model="chat",type="output"}'
        assert api.metric(spoken) > 30, "what was said to the one who left counts too"


async def test_error_is_not_shared(serve: Serve, redis, tmp_path) -> None:
    """Each tries for itself, as it would without a cache."""
    upstream = Upstream(before_headers=0.3, status=401)
    async with upstream.running(), serve(exact(upstream.url, redis, tmp_path)) as api:
        first = asyncio.create_task(ask(api))
        await upstream.asked.wait()
        second = asyncio.create_task(ask(api))
        await under_way(api, 2)
        assert [answer.status for answer in await asyncio.gather(first, second)] == [502, 502]
        assert len(upstream.bodies) == 2


async def test_nobody_waits_longer_for_a_first_token_than_the_model_may_take(serve: Serve, redis, tmp_path) -> None:
    patience = FAST.model_copy(update={"first_token": 0.5})
    upstream = Upstream(between=0.1, words=("x",) * 20)
    async with upstream.running(), serve(exact(upstream.url, redis, tmp_path, timeouts=patience)) as api:
        body = {"model": "chat", "messages": HELLO, "stream": True}
        first = await api.http.post(f"{api.url}/v1/chat/completions", json=body)
        await first.content.readany()
        upstream.words = ("x",)
        assert (await ask(api, stream=True)).cache == "miss"
        assert not first.content.at_eof(), "it went alone, and was sooner"
        assert (await first.read()).endswith(b"[DONE]\n\n")


async def test_tenants_do_not_wait_for_each_other(serve: Serve, redis, tmp_path) -> None:
    upstream = Upstream(before_headers=0.3)
    async with upstream.running():
        wanted = exact(upstream.url, redis, tmp_path, auth=two_tenants(tmp_path))
        async with serve(wanted) as api:
            answers = await asyncio.gather(*(ask(api, bearer(name)) for name in ("alice", "bob")))
            assert [answer.cache for answer in answers] == ["miss", "miss"]
            assert len(upstream.bodies) == 2


async def test_who_wants_a_new_answer_does_not_wait(serve: Serve, redis, tmp_path) -> None:
    upstream = Upstream(before_headers=0.3)
    async with upstream.running(), serve(exact(upstream.url, redis, tmp_path)) as api:
        answers = await asyncio.gather(*(ask(api, {"Cache-Control": "no-cache"}) for _ in range(3)))
        assert [answer.cache for answer in answers] == ["bypass"] * 3
        assert len(upstream.bodies) == 3


async def test_with_redis_down_they_still_share(serve: Serve, redis, tmp_path) -> None:
    upstream = Upstream(before_headers=0.5)
    redis.server.stop()
    try:
        async with upstream.running(), serve(exact(upstream.url, redis, tmp_path)) as api:
            answers = await asyncio.gather(*(ask(api) for _ in range(5)))
            assert sorted(str(answer.cache) for answer in answers) == ["exact"] * 4 + ["miss"]
            assert len(upstream.bodies) == 1
    finally:
        redis.server.start()
