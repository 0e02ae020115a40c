"""API keys: right, wrong, absent, rotated, with rights of their own."""

import anthropic
import openai
import pytest

from aiapp_service.auth import api_keys
from aiapp_service.auth.key_file import hashed
from aiapp_service.config import AuthConfig, LimitScope, RateLimitConfig
from aiapp_service.pipeline.exchange import Exchange, Whole
from aiapp_service.pipeline.principal import Principal
from tests.integration.service.conftest import Serve, Service, config

NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch):
    monkeypatch.setattr(api_keys, "RECHECK_SECONDS", 0.0)


async def test_key_opens_wrong_key_does_not_and_rotation_needs_no_restart(serve: Serve, tmp_path) -> None:
    file = tmp_path / "alice"
    file.write_text("old-key")
    async with (
        serve(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path))) as api,
        api.sdk("old-key") as old,
        api.sdk("new-key") as new,
    ):
        assert (await old.models.list()).data
        with pytest.raises(openai.AuthenticationError) as caught:
            await new.models.list()
        assert caught.value.code == "invalid_api_key"
        assert caught.value.response.headers["www-authenticate"] == "Bearer"
        file.write_text("new-key")
        assert (await new.models.list()).data
        with pytest.raises(openai.AuthenticationError):
            await old.models.list()


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic old-key", "old-key", "Bearer wrong", "Bearer old-key\u00e9", "bearer  "],
)
async def test_whatever_else_is_refused(serve: Serve, tmp_path, header) -> None:
    (tmp_path / "alice").write_text("old-key")
    headers = {} if header is None else {"Authorization": header}
    async with serve(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path))) as api:
        for path in ("models", "chat/completions", "no/such/path"):
            async with api.http.get(f"{api.url}/v1/{path}", headers=headers) as answer:
                assert answer.status == 401
                assert (await answer.json())["error"]["code"] == "invalid_api_key"


async def test_without_keys_and_without_anonymous_nobody_gets_in(serve: Serve) -> None:
    async with serve(config(NOBODY, auth=AuthConfig())) as api:
        async with api.http.get(f"{api.url}/v1/models", headers={"Authorization": "Bearer x"}) as answer:
            assert answer.status == 401
        async with api.http.get(f"{api.url}/livez") as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer old-key"},
        {"authorization": "bearer   old-key "},
        {"x-api-key": "old-key"},
        {"api-key": "old-key"},
        {"Authorization": "Basic eDp5", "x-api-key": "old-key"},
    ],
)
async def test_headers_that_sdks_send_keys_in(serve: Serve, tmp_path, headers) -> None:
    (tmp_path / "alice").write_text(hashed("old-key"))
    async with (
        serve(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path))) as api,
        api.http.get(f"{api.url}/v1/models", headers=headers) as answer,
    ):
        assert answer.status == 200


async def test_a_hash_is_no_key(serve: Serve, tmp_path) -> None:
    (tmp_path / "alice").write_text(hashed("old-key"))
    async with (
        serve(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path))) as api,
        api.http.get(f"{api.url}/v1/models", headers={"x-api-key": hashed("old-key")}) as answer,
    ):
        assert answer.status == 401


async def test_anthropics_sdk_is_let_in(serve: Serve, tmp_path) -> None:
    (tmp_path / "alice").write_text("old-key")
    async with serve(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path))) as api:
        for name in ("api_key", "auth_token"):
            async with anthropic.AsyncAnthropic(base_url=api.url, max_retries=0, **{name: "old-key"}) as client:
                assert "data" in str(await client.get("/v1/models", cast_to=dict[str, object]))
            async with anthropic.AsyncAnthropic(base_url=api.url, max_retries=0, **{name: "x"}) as client:
                with pytest.raises(anthropic.AuthenticationError):
                    await client.get("/v1/models", cast_to=dict[str, object])


def principals(api: Service) -> list[Principal]:
    """Whoever sends requests from now on; they are answered at once."""
    seen: list[Principal] = []

    async def run(exchange: Exchange) -> Whole:
        seen.append(exchange.call.principal)
        return Whole(200, b"{}")

    object.__setattr__(api.gateway.current, "run", run)
    return seen


async def send(api: Service, model: str, **headers: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
    async with api.http.post(f"{api.url}/v1/chat/completions", json=body, headers=headers) as answer:
        return answer.status


async def test_key_file_says_what_its_client_may(serve: Serve, tmp_path) -> None:
    (tmp_path / "alice").write_text("key: k1\ntenant: shop\nuser: u1\nmodels: [chat]\nrequestsPerMinute: 5\n")
    (tmp_path / "bob").write_text("key: k2\ntenant: shop\nmodels: [other]\n")
    limits = RateLimitConfig(requests_per_minute=100, tokens_per_minute=1000, per=LimitScope.TENANT)
    wanted = config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path), rate_limit=limits, trusted_proxies=("127.0.0.0/8",))
    async with serve(wanted) as api:
        seen = principals(api)
        assert await send(api, "chat", **{"x-api-key": "k1", "X-Forwarded-For": "192.0.2.7"}) == 200
        own = RateLimitConfig(requests_per_minute=5, tokens_per_minute=1000, per=LimitScope.KEY)
        assert seen == [Principal("alice", "shop", "u1", "192.0.2.7", frozenset({"chat"}), own)]
        assert await send(api, "chat", **{"x-api-key": "k2"}) == 404
        async with api.http.get(f"{api.url}/v1/models", headers={"x-api-key": "k1"}) as answer:
            assert [model["id"] for model in (await answer.json())["data"]] == ["chat"]
        async with api.http.get(f"{api.url}/v1/models", headers={"x-api-key": "k2"}) as answer:
            assert (await answer.json())["data"] == []


async def test_address_is_the_peers_unless_it_is_a_known_proxy(serve: Serve) -> None:
    async with serve(config(NOBODY)) as api:
        seen = principals(api)
        assert await send(api, "chat", **{"X-Forwarded-For": "192.0.2.7"}) == 200
        assert seen == [Principal(address="127.0.0.1")]


async def test_configuration_opens_and_closes_the_api(serve: Serve, tmp_path) -> None:
    (tmp_path / "alice").write_text("old-key")
    async with serve(config(NOBODY)) as api:
        assert await models_status(api) == 200
        api.gateway.replace(config(NOBODY, auth=AuthConfig()))
        assert await models_status(api) == 401
        api.gateway.replace(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path)))
        assert await models_status(api, "old-key") == 200
        assert await models_status(api) == 401
        api.gateway.replace(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path, anonymous=True)))
        assert await models_status(api, "wrong") == 200


async def models_status(api: Service, key: str = "") -> int:
    async with api.http.get(f"{api.url}/v1/models", headers={"x-api-key": key}) as answer:
        return answer.status
