"""What /health and the metrics say of backends, also after a change of the configuration."""

import re
from typing import Any

import pytest
from prometheus_client import generate_latest

from aiapp_service.config import ModelConfig
from tests.integration.service.conftest import FAST, Serve, Service, config
from tests.integration.service.test_routing import ask
from tests.integration.service.upstream import Upstream

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


async def health(api: Service) -> dict[str, Any]:
    async with api.http.get(f"{api.url}/health") as answer:
        found: dict[str, Any] = await answer.json()
        assert (answer.status == 503) == (found["status"] == "unhealthy")
        return found


def series(api: Service) -> set[str]:
    text = generate_latest(api.metrics.registry).decode()
    return set(re.findall(r'ai_backend_up\{backend="([^"]+)"\}', text))


async def test_backend_that_refuses_its_key(serve: Serve) -> None:
    async with (
        Upstream(status=401).running() as first,
        Upstream().running() as second,
        serve(config(first.url, second.url)) as api,
    ):
        assert (await health(api))["status"] == "healthy"
        await ask(api)
        found = await health(api)
    assert found["status"] == "degraded"
    assert found["checks"]["llm"]["message"] == "m0/model-m0 refuses the API key (401)"
    refused, well = found["backends"]
    assert well == {"name": "m1/model-m1", "status": "ok"}
    assert _TIME.fullmatch(refused.pop("since"))
    assert _TIME.fullmatch(refused.pop("restingUntil"))
    assert refused == {
        "name": "m0/model-m0",
        "status": "error",
        "reason": "refused_key",
        "code": 401,
        "message": "refuses the API key (401)",
    }
    assert found["models"] == [
        {"name": "chat", "served": True, "backends": ["m0/model-m0", "m1/model-m1"]},
        {"name": "embed", "served": False, "backends": ["m0/model-m0"]},
    ]


async def test_nobody_serves(serve: Serve) -> None:
    async with Upstream(status=401).running() as only, serve(config(only.url)) as api:
        assert await ask(api) == "502"
        assert (await health(api))["status"] == "unhealthy"
        assert await health(api) | {"timestamp": ""} == await health(api) | {"timestamp": ""}, "it settles"


async def test_single_failures_and_short_limits_are_not_told(serve: Serve) -> None:
    limited = Upstream(status=429, headers={"Retry-After": "20"})
    async with (
        limited.running() as first,
        Upstream(status=500, times=1).running() as second,
        serve(config(first.url, second.url)) as api,
    ):
        assert await ask(api) == "model-m1"
        assert (await health(api))["status"] == "healthy"


async def test_what_is_known_outlives_a_change_of_the_configuration(serve: Serve) -> None:
    async with Upstream(status=401).running() as first, Upstream().running() as second, Upstream().running() as third:
        before = config(first.url, second.url)
        async with serve(before) as api:
            assert await ask(api) == "model-m1"
            told = (await health(api))["backends"]
            chat = ModelConfig(name="chat", backends=before.models[0].backends, timeouts=FAST)
            api.gateway.replace(before.model_copy(update={"models": (chat,)}))
            assert (await health(api))["backends"] == told
            assert await ask(api) == "model-m1"
            assert len(first.bodies) == 1, "it still rests"
            assert api.metric('ai_backend_up{backend="m0/model-m0"}') == 0

            elsewhere = before.inference[0].model_copy(update={"base_url": third.url})
            moved = before.model_copy(update={"models": (chat,), "inference": (elsewhere, before.inference[1])})
            api.gateway.replace(moved)
            assert api.metric('ai_backend_up{backend="m0/model-m0"}') == 1, "the name is the same, the place is not"
            assert await ask(api) == "model-m0"


async def test_series_of_backends_that_are_gone_go(serve: Serve) -> None:
    async with (
        Upstream().running() as first,
        Upstream().running() as second,
        serve(config(first.url, second.url)) as api,
    ):
        assert series(api) == {"m0/model-m0", "m1/model-m1"}
        gone = api.router.routes["chat"].backends[1]
        api.gateway.replace(config(first.url))
        assert series(api) == {"m0/model-m0"}
        gone.reached()
        assert series(api) == {"m0/model-m0"}, "a request that is still under way does not bring it back"


async def test_refused_configuration_leaves_the_series(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Upstream().running() as first, serve(config(first.url)) as api:

        def refuse(*_: object) -> None:
            raise ValueError("no")

        monkeypatch.setattr("aiapp_service.assembly.pipeline", refuse)
        with pytest.raises(ValueError, match="no"):
            api.gateway.replace(config(first.url, "http://127.0.0.1:9/v1"))
        assert series(api) == {"m0/model-m0"}
