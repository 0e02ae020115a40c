"""Who is asked, in which order: strategies, rests, trials, retries."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aiapp_service.config import PriceConfig, ServiceConfig, Strategy
from aiapp_service.llm import monitor, standing
from tests.integration.service.conftest import FAST, Serve, Service, config
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
FIRST, SECOND = "model-m0", "model-m1"


def routed(*urls: str, strategy: Strategy = Strategy.PRIORITY, **of_backends: list[Any]) -> ServiceConfig:
    """Model `chat` over `urls` with a strategy; `of_backends` are fields of the backends, in order."""
    made = config(*urls)
    chat = made.models[0]
    changes = [dict(zip(of_backends, values, strict=True)) for values in zip(*of_backends.values(), strict=True)]
    backends = tuple(b.model_copy(update=c) for b, c in zip(chat.backends, changes or [{}] * len(urls), strict=True))
    chat = chat.model_copy(update={"strategy": strategy, "backends": backends})
    return made.model_copy(update={"models": (chat, *made.models[1:])})


async def ask(api: Service, *, stream: bool = False, **fields: Any) -> str:
    """The model of the backend that answers, or the status where none does. Making a client of the SDK takes longer."""
    body = {"model": "chat", "messages": HELLO, "stream": stream, **fields}
    async with api.http.post(f"{api.url}/v1/chat/completions", json=body) as answer:
        if answer.status != 200:
            return str(answer.status)
        content = await answer.text()
    first = content.split("\n\n")[0].removeprefix("data: ") if stream else content
    if stream and not content.endswith("data: [DONE]\n\n"):
        return "broken"
    return str(json.loads(first)["model"])


async def ask_stream(api: Service) -> str:
    return await ask(api, stream=True)


async def test_weighted(serve: Serve) -> None:
    async with Upstream().running() as first, Upstream().running() as second:
        wanted = routed(first.url, second.url, strategy=Strategy.WEIGHTED, weight=[3, 1])
        async with serve(wanted) as api:
            found = Counter([await ask(api) for _ in range(60)])
    assert found[FIRST] > found[SECOND] > 0


async def test_least_busy_counts_whole_answers_and_streams_to_their_end(serve: Serve) -> None:
    slow = Upstream(before_headers=0.2, between=0.2)
    async with (
        slow.running() as first,
        Upstream(before_headers=0.2, between=0.2).running() as second,
        serve(routed(first.url, second.url, strategy=Strategy.LEAST_BUSY)) as api,
    ):
        found = Counter(await asyncio.gather(*(ask(api) for _ in range(3)), *(ask_stream(api) for _ in range(3))))
        assert found == {FIRST: 3, SECOND: 3}
        await until("none under way", lambda: not any(b.in_flight for b in api.router.backends))


async def test_cheapest_first_and_unknown_last(serve: Serve) -> None:
    prices = [None, PriceConfig(input_per_1m="2"), PriceConfig(input_per_1m="1")]
    async with (
        Upstream().running() as a,
        Upstream().running() as b,
        Upstream().running() as c,
        serve(routed(a.url, b.url, c.url, strategy=Strategy.COST, price=prices)) as api,
    ):
        assert await ask(api) == "model-m2"
        c.status = b.status = 429
        assert await ask(api) == FIRST


async def test_latency_prefers_who_answers_sooner(serve: Serve) -> None:
    async with (
        Upstream(before_first=0.2).running() as slow,
        Upstream().running() as quick,
        serve(routed(slow.url, quick.url, strategy=Strategy.LATENCY)) as api,
    ):
        found = [await ask_stream(api) for _ in range(6)]
    assert set(found[:2]) == {FIRST, SECOND}, "both are tried"
    assert found[2:] == [SECOND] * 4


@pytest.mark.parametrize("status", [429, 401, 402])
async def test_primary_that_rests_costs_nothing(serve: Serve, status: int) -> None:
    async with (
        Upstream(status=status).running() as first,
        Upstream().running() as second,
        serve(config(first.url, second.url)) as api,
    ):
        assert [await ask(api) for _ in range(5)] == [SECOND] * 5
        assert await ask_stream(api) == SECOND
    assert len(first.bodies) == 1


async def test_breaker_opens_tries_once_and_closes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "_OTHER_REST", (1.0, 1.0))
    async with (
        Upstream(status=500).running() as first,
        Upstream().running() as second,
        serve(config(first.url, second.url)) as api,
    ):
        assert [await ask(api) for _ in range(6)] == [SECOND] * 6
        assert len(first.bodies) == 3
        first.status, first.before_headers = 200, 0.3
        backend = next(b for b in api.router.backends if b.model == FIRST)
        await until("the rest is over", lambda: not backend.rests(asyncio.get_running_loop().time()))
        found = Counter(await asyncio.gather(*(ask(api) for _ in range(5))))
        assert found == {FIRST: 1, SECOND: 4}, "one trial"
        assert await ask(api) == FIRST
        assert api.metric(f'ai_backend_up{{backend="m0/{FIRST}"}}') == 1


async def test_retry_after_is_honoured(serve: Serve) -> None:
    limited = Upstream(status=429, times=1, headers={"Retry-After": "0.5"})
    async with limited.running() as first, Upstream().running() as second, serve(config(first.url, second.url)) as api:
        began = asyncio.get_running_loop().time()
        assert await ask(api) == SECOND

        async def first_serves() -> bool:
            return await ask(api) == FIRST

        await until("it serves again", first_serves)
        assert asyncio.get_running_loop().time() - began >= 0.5
        assert len(limited.bodies) == 2


async def test_least_bad_is_tried_when_all_rest(serve: Serve) -> None:
    async with (
        Upstream(status=401).running() as first,
        Upstream(status=429).running() as second,
        serve(config(first.url, second.url)) as api,
    ):
        assert await ask(api) == "502"
        asked = len(second.bodies)
        second.status = 200
        assert await ask(api) == SECOND
        assert (len(first.bodies), len(second.bodies)) == (1, asked + 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_only_backend_is_asked_again(serve: Serve, stream: bool) -> None:
    async with Upstream(status=503, times=2).running() as only, serve(config(only.url)) as api:
        assert await (ask_stream(api) if stream else ask(api)) == FIRST
    assert len(only.bodies) == 3


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        ({"status": 503}, 3),
        ({"status": 429, "headers": {"Retry-After": "0.1"}}, 3),
        ({"status": 429, "headers": {"Retry-After": "30"}}, 1),
        ({"status": 429, "error": {"error": {"code": "insufficient_quota"}}}, 1),
        ({"status": 401}, 1),
        ({"status": 400}, 1),
        ({"status": 404}, 1),
        ({"before_first": 30}, 1),
        ({"break_after": 2}, 1),
    ],
    ids=str,
)
async def test_at_most_two_retries_and_only_of_what_may_pass(serve: Serve, fault: dict[str, Any], asked: int) -> None:
    async with Upstream(**fault).running() as only, serve(config(only.url)) as api:
        assert await ask_stream(api) not in (FIRST, SECOND)
        assert len(only.bodies) == asked


async def test_no_retries_while_it_is_down_anyway(serve: Serve) -> None:
    async with Upstream(status=503).running() as only, serve(config(only.url)) as api:
        for _ in range(4):
            assert await ask(api) == "502"
    assert len(only.bodies) == 3 + 3


@contextmanager
def black_hole() -> Iterator[str]:
    """A socket that listens and whose queue is full: connecting takes for ever."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            for one in waiting:
                one.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_black_hole_costs_the_connect_timeout_once(serve: Serve, stream: bool) -> None:
    patient = FAST.model_copy(update={"first_token": 60.0, "total": 120.0})
    async with Upstream().running() as second:
        with black_hole() as nowhere:
            async with serve(config(nowhere, second.url, timeouts=patient)) as api, asyncio.timeout(20):
                asking = ask_stream if stream else ask
                assert await asking(api) == SECOND
                fallback = f'ai_fallbacks_total{{from="m0/{FIRST}",model="chat",reason="connect",to="m1/{SECOND}"}}'
                assert api.metric(fallback) == 1
                assert await asking(api) == SECOND
                assert api.metric(fallback) == 1


async def test_probes_find_out_before_requests_do(serve: Serve) -> None:
    async with (
        Upstream(status=401).running() as first,
        Upstream().running() as second,
        serve(config(first.url, second.url)) as api,
    ):
        await monitor.probe_all(api.router.backends)
        assert await ask(api) == SECOND
        assert first.bodies == []
        first.status = 200
        await monitor.probe_all(api.router.backends)
        assert await ask(api) == FIRST
