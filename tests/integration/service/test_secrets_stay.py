"""Canaries: keys and tokens of every kind go through the service, and are looked for in all that it says."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aiapp_service.auth import api_keys
from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    JwtConfig,
    ModelConfig,
    ProviderConfig,
    ProviderKind,
    ServiceConfig,
)
from tests.integration.service.conftest import FAST, Serve, Service
from tests.integration.service.identity_provider import AUDIENCE, IdentityProvider, rsa_key
from tests.integration.service.upstream import Upstream

# Without a shape that a pattern could find: nothing is to rely on redaction.
CLIENT_KEY = "Canary4711Client"
WRONG_KEY = "Canary4712Wrong"
PROVIDER_KEY = "Canary4713Provider"
FILE_KEY = "Canary4714File"
PASSWORD = "Canary4715Password"
PROMPT = "Canary4716Prompt"
HELLO = {"model": "chat", "messages": [{"role": "user", "content": PROMPT}]}


@dataclass
class Said:
    """All that came out of the service besides answers of models."""

    texts: list[str] = field(default_factory=list)

    async def ask(self, api: Service, path: str, headers: dict[str, str], **fields: Any) -> int:
        method = "POST" if "json" in fields or "data" in fields else "GET"
        async with api.http.request(method, f"{api.url}{path}", headers=headers, **fields) as answer:
            text = await answer.text()
            if answer.status >= 400 or not path.startswith("/v1/chat"):
                self.texts.append(f"{dict(answer.headers)} {text}")
            return answer.status

    async def raw(self, api: Service, text: bytes) -> None:
        """What is answered here quotes the sender's own bytes, so only the log counts."""
        host, _, port = api.url.rpartition("//")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(text)
        await asyncio.wait_for(reader.read(1000), 5)
        writer.close()


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def files(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(api_keys, "RECHECK_SECONDS", 0.0)
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "alice").write_text(CLIENT_KEY)
    (tmp_path / "clients" / "wrong").write_text(f"key: {FILE_KEY}\n{FILE_KEY}: 1\nmodels: 5\n")
    (tmp_path / "clients" / "yaml").write_text(f"key: {FILE_KEY}\n\t- [")
    (tmp_path / "provider").write_text(PROVIDER_KEY)
    return tmp_path


def wanted(files: Path, provider: IdentityProvider, upstream: str, **jwt: Any) -> ServiceConfig:
    token = {"issuer": provider.url, "audiences": (AUDIENCE,), "jwks_url": f"{provider.url}/jwks", **jwt}
    return ServiceConfig(
        auth=AuthConfig(api_keys_dir=files / "clients", jwt=JwtConfig(**token)),
        providers=(
            ProviderConfig(
                name="p", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=upstream, api_key_file=files / "provider"
            ),
        ),
        models=(ModelConfig(name="chat", backends=(BackendConfig(provider="p", model="m"),), timeouts=FAST),),
    )


@asynccontextmanager
async def everything(serve: Serve, files: Path) -> AsyncIterator[tuple[Service, IdentityProvider, Upstream]]:
    async with (
        IdentityProvider().running() as provider,
        Upstream().running() as upstream,
        serve(wanted(files, provider, upstream.url)) as api,
    ):
        yield api, provider, upstream


async def test_nothing_secret_is_said(serve: Serve, files: Path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    said = Said()
    async with everything(serve, files) as (api, provider, upstream):
        good, expired = provider.token(), provider.token(exp=1)
        provider.keys["stranger"] = ("RS256", rsa_key(5))
        stranger = provider.token("stranger", {"kid": "rsa"})
        assert await said.ask(api, "/v1/chat/completions", bearer(CLIENT_KEY), json=HELLO) == 200
        assert await said.ask(api, "/v1/chat/completions", {"x-api-key": CLIENT_KEY}, json=HELLO) == 200
        assert await said.ask(api, "/v1/chat/completions", bearer(good), json=HELLO) == 200
        assert upstream.authorizations == [f"Bearer {PROVIDER_KEY}"] * 3
        for token in (WRONG_KEY, FILE_KEY, expired, stranger, good + "x", good[:-40]):
            assert await said.ask(api, "/v1/models", bearer(token)) == 401
        assert await said.ask(api, f"/v1/models?api_key={WRONG_KEY}", {}) == 401
        assert await said.ask(api, "/v1/models", {"api-key": CLIENT_KEY}) == 200
        assert await said.ask(api, "/v1/chat/completions", bearer(CLIENT_KEY), data=f'{{"a": "{PROMPT}'.encode()) == 400
        for status in (401, 429, 500):
            upstream.status = status
            for stream in (False, True):
                body = {**HELLO, "stream": stream}
                assert await said.ask(api, "/v1/chat/completions", bearer(CLIENT_KEY), json=body) >= 429
        for name in (b"Authorization: Bearer ", b"x-api-key: ", b"Authorization : ", b"x-api-key:\x00 "):
            for value in (CLIENT_KEY.encode(), CLIENT_KEY.encode() * 3000):
                await said.raw(api, b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + name + value + b"\r\n\r\n")
        await said.raw(api, b"GET /" + CLIENT_KEY.encode() * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        for path in ("/health", "/metrics", "/readyz"):
            await said.ask(api, path, {})
        tokens = (good, expired, stranger)
    logged = [str(record.__dict__) + record.getMessage() for record in caplog.records]
    assert any("key file is wrong" in text for text in logged)
    assert len(said.texts) > 15
    signatures_and_claims = [part for token in tokens for part in token.split(".")[1:]]
    for secret in ("Canary47", *signatures_and_claims):
        for text in (*said.texts, *logged, caplog.text):
            assert secret not in text, text


async def test_addresses_with_passwords_are_not_said(serve: Serve, files: Path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    said = Said()
    provider = IdentityProvider(url="https://id.example.com")
    for url in (f"http://u:{PASSWORD}@127.0.0.1:9/jwks?key={PASSWORD}", f"http://u:{PASSWORD}@[::1/jwks"):
        async with serve(wanted(files, provider, "http://127.0.0.1:9/v1", jwks_url=url)) as api:
            assert await said.ask(api, "/v1/models", bearer(provider.token())) == 503
    logged = [str(record.__dict__) + record.getMessage() for record in caplog.records]
    assert sum("keys of the identity provider not read" in text for text in logged) == 2
    for text in (*said.texts, *logged, caplog.text):
        assert PASSWORD not in text
