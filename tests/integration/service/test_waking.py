"""A model server without pods: requests wait until one is there, and what waits can be seen by an autoscaler."""

import asyncio

import aiohttp
import pytest

from aiapp_service.config import BackendConfig, InferenceConfig, ModelConfig, TimeoutsConfig
from aiapp_service.llm import monitor, waking
from tests.integration.servers.processes import free_port
from tests.integration.service.conftest import FAST, Serve, Service, config, mock
from tests.integration.service.upstream import WORDS, Upstream
from tests.integration.service.waiting import until

PATIENT = TimeoutsConfig(connect=0.5, first_token=1.0, idle=1.0, total=60.0)
MESSAGES = [{"role": "user", "content": "hello"}]
SERIES = 'ai_inference_requests{inference="m0"}'


def sleepy(port, seconds=30.0, timeouts=PATIENT, **fields):
    url = f"http://127.0.0.1:{port}/v1"
    entry = InferenceConfig(name="m0", base_url=url, wake_seconds=seconds)
    return config(url, timeouts=timeouts, inference=(entry,), **fields)


async def waits(service: Service, number: int) -> None:
    await until(f"{number} wait", lambda: service.metric(SERIES) == number)


@pytest.mark.parametrize("stream", [False, True])
async def test_requests_wait_for_a_server_and_are_answered_when_it_is_there(serve: Serve, stream):
    port = free_port()
    async with serve(sleepy(port)) as service:
        assert service.metric(SERIES) == 0
        assert f"{SERIES} 0.0" in await text(service, "/metrics"), "an autoscaler sees it before the first request"
        client = service.sdk()
        asked = [
            asyncio.ensure_future(client.chat.completions.create(model="chat", messages=MESSAGES, stream=stream))
            for _ in range(5)
        ]
        await waits(service, 5)
        async with Upstream().running(port=port):
            for answer in asked:
                found = await answer
                said = [c async for c in found] if stream else found.choices[0].message.content
                assert said if stream else said == " ".join(WORDS)
            await waits(service, 0)


async def test_one_that_does_not_come_in_time_is_said_with_when_to_come_again(serve: Serve):
    async with serve(sleepy(free_port(), seconds=1.0)) as service:
        answer = await ask(service)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        error = (await answer.json())["error"]
        assert error["code"] == "backend_unavailable"
        assert "is being started" in error["message"]
        await waits(service, 0)


async def test_no_more_wait_than_may(serve: Serve, monkeypatch):
    monkeypatch.setattr(waking, "MOST_WAITING", 2)
    async with serve(sleepy(free_port(), seconds=20.0)) as service:
        waiting = [asyncio.ensure_future(ask(service)) for _ in range(2)]
        await waits(service, 2)
        answer = await ask(service)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        assert "too many" in (await answer.json())["error"]["message"]
        for request in waiting:
            request.cancel()
        await waits(service, 0)


async def test_who_leaves_waits_no_longer(serve: Serve):
    async with serve(sleepy(free_port())) as service:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await ask(service)
        await waits(service, 0)


async def test_it_counts_while_an_answer_is_under_way(serve: Serve):
    upstream = Upstream(between=0.3)
    async with upstream.running(), serve(sleepy(upstream.url.rpartition(":")[2].removesuffix("/v1"))) as service:
        stream = await service.sdk().chat.completions.create(model="chat", messages=MESSAGES, stream=True)
        await waits(service, 1)
        assert [chunk async for chunk in stream]
        await waits(service, 0)


async def test_without_pods_nothing_is_wrong_and_it_is_asked_before_who_comes_after_it(serve: Serve):
    port = free_port()
    provider, fallback = mock()
    backends = (BackendConfig(inference="m0", model="m"), fallback)
    models = (ModelConfig(name="chat", backends=backends, timeouts=PATIENT),)
    async with serve(sleepy(port, models=models, providers=(provider,))) as service:
        await monitor.probe_all(service.router.backends)
        async with service.http.get(f"{service.url}/health") as answer:
            document = await answer.json()
        assert document["status"] == "healthy"
        assert document["models"] == [{"name": "chat", "served": True, "backends": ["m0/m", "fake/mock-chat"]}]
        asked = asyncio.ensure_future(ask(service))
        await waits(service, 1)
        async with Upstream().running(port=port):
            answer = await asked
            assert (await answer.json())["choices"][0]["message"]["content"] == " ".join(WORDS)


async def test_a_server_that_always_has_pods_is_not_waited_for(serve: Serve):
    url = f"http://127.0.0.1:{free_port()}/v1"
    async with serve(config(url, timeouts=FAST)) as service:
        answer = await ask(service)
        assert answer.status == 503
        assert "cannot be reached" in (await answer.json())["error"]["message"]


async def ask(service: Service) -> aiohttp.ClientResponse:
    body = {"model": "chat", "messages": MESSAGES}
    answer = await service.http.post(f"{service.url}/v1/chat/completions", json=body)
    await answer.read()
    return answer


async def text(service: Service, path: str) -> str:
    async with service.http.get(f"{service.url}{path}") as answer:
        return await answer.text()
