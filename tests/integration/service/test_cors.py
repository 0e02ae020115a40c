"""What browsers are told about pages of other origins."""

import pytest

from aiapp_service.config import AuthConfig, CorsConfig
from tests.integration.service.conftest import Serve, config
from tests.integration.service.upstream import Upstream

NOBODY = "http://127.0.0.1:9/v1"
PAGE = "https://app.example.com"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-os"}


def sharing(*origins: str, url: str = NOBODY, **fields: object):
    return config(url, cors=CorsConfig(allowed_origins=origins), **fields)


@pytest.mark.parametrize(
    ("origins", "origin", "status", "allowed", "credentials"),
    [
        ((PAGE,), PAGE, 204, PAGE, "true"),
        ((PAGE, "http://localhost:3000"), "http://localhost:3000", 204, "http://localhost:3000", "true"),
        ((PAGE,), "https://evil.example.com", 403, None, None),
        ((PAGE,), f"{PAGE}.evil.com", 403, None, None),
        ((PAGE,), "null", 403, None, None),
        (("*",), "https://any.example.com", 204, "*", None),
        (("*", PAGE), PAGE, 204, "*", None),
        ((), PAGE, 403, None, None),
    ],
)
async def test_preflight_is_answered_before_anybody_is_asked_for_a_key(
    serve: Serve, origins, origin, status, allowed, credentials
) -> None:
    async with (
        serve(sharing(*origins, auth=AuthConfig())) as api,
        api.http.options(f"{api.url}/v1/chat/completions", headers={"Origin": origin, **ASKS}) as answer,
    ):
        assert answer.status == status
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        assert answer.headers.get("Access-Control-Allow-Credentials") == credentials
        assert ("Origin" in answer.headers.get("Vary", "")) is (PAGE in origins and "*" not in origins)
        if status == 204:
            assert answer.headers["Access-Control-Allow-Headers"] == ASKS["Access-Control-Request-Headers"]
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert answer.headers["Access-Control-Max-Age"]


async def test_errors_answers_and_streams_can_be_read_by_the_page(serve: Serve) -> None:
    async with Upstream().running() as upstream, serve(sharing(PAGE, url=upstream.url)) as api:
        for body, status in (
            ({"model": "chat", "messages": [{"role": "user", "content": "x"}]}, 200),
            ({"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}, 200),
            ({"model": "nobody"}, 404),
        ):
            url = f"{api.url}/v1/chat/completions"
            async with api.http.post(url, json=body, headers={"Origin": PAGE}) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == PAGE
                exposed = answer.headers["Access-Control-Expose-Headers"].lower()
                assert "x-request-id" in exposed
                assert answer.headers["Vary"] == "Origin"
        for headers in ({}, {"Origin": "https://evil.example.com"}):
            async with api.http.get(f"{api.url}/v1/models", headers=headers) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert answer.headers["Vary"] == "Origin"
        async with api.http.get(f"{api.url}/metrics", headers={"Origin": PAGE}) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_waiting_times_and_limits_are_exposed(serve: Serve) -> None:
    headers = {"Retry-After": "7"}
    async with (
        Upstream(status=429, headers=headers).running() as upstream,
        serve(sharing("*", url=upstream.url)) as api,
    ):
        body = {"model": "chat", "messages": [{"role": "user", "content": "x"}]}
        url = f"{api.url}/v1/chat/completions"
        async with api.http.post(url, json=body, headers={"Origin": PAGE}) as answer:
            assert answer.status == 429
            assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


async def test_origins_follow_the_configuration(serve: Serve) -> None:
    async with serve(sharing(PAGE)) as api:
        api.gateway.replace(sharing())
        async with api.http.get(f"{api.url}/v1/models", headers={"Origin": PAGE}) as answer:
            assert answer.status == 200
            assert "Access-Control-Allow-Origin" not in answer.headers
