"""A request that is too long for one model goes to one with a larger window."""

from typing import Any

import pytest

from tests.integration.service.conftest import Serve
from tests.integration.service.test_routing import ask, routed
from tests.integration.service.upstream import Upstream

REFUSAL = {"error": {"message": "too long, says the first", "code": "context_length_exceeded", "param": "messages"}}
OTHER = {"error": {"message": "prompt is too long: 9 tokens > 8 maximum", "type": "invalid_request_error"}}


def small(error: Any = REFUSAL) -> Upstream:
    return Upstream(status=400, error=error)


def saying(content: str) -> list[Any]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("windows", [[None, None, None], [8000, 8000, 16000], [8000, 4000, None]])
async def test_goes_to_one_that_may_be_larger(serve: Serve, stream: bool, windows: list[int | None]) -> None:
    async with (
        small().running() as a,
        Upstream().running() as b,
        Upstream().running() as c,
        serve(routed(a.url, b.url, c.url, context_window=windows)) as api,
    ):
        assert await ask(api, stream=stream) == ("model-m1" if windows[1] is None else "model-m2")
        assert all(backend.down is None for backend in api.router.backends), "it is nobody's fault"
    assert len(a.bodies) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("windows", [[None, None], [8000, None], [16000, 8000]])
async def test_first_refusal_is_passed_on_where_nobody_can(
    serve: Serve, stream: bool, windows: list[int | None]
) -> None:
    async with (
        small().running() as a,
        small(OTHER).running() as b,
        serve(routed(a.url, b.url, context_window=windows)) as api,
    ):
        body = {"model": "chat", "messages": saying("Hello"), "stream": stream}
        async with api.http.post(f"{api.url}/v1/chat/completions", json=body) as answer:
            assert (answer.status, await answer.json()) == (400, REFUSAL)
    assert len(b.bodies) == (windows[1] is None)


async def test_larger_one_that_is_down_is_not_the_clients_mistake(serve: Serve) -> None:
    async with small().running() as a, Upstream(status=401).running() as b, serve(routed(a.url, b.url)) as api:
        assert await ask(api) == "502"


async def test_what_is_far_too_long_is_not_sent(serve: Serve) -> None:
    async with (
        Upstream().running() as a,
        Upstream().running() as b,
        serve(routed(a.url, b.url, context_window=[100, 10_000])) as api,
    ):
        assert await ask(api, messages=saying("word " * 1000)) == "model-m1"
        assert await ask(api, messages=saying("word " * 100)) == "model-m0", "an estimate is rough"
        assert await ask(api, messages=saying("word " * 100_000)) == "model-m1", (
            "the largest one says that it is too long"
        )
