"""Asking the API, and what it says of its cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiapp_service.config import AuthConfig, CacheConfig, ExactCacheConfig, RedisConfig, ServiceConfig
from tests.integration.servers.redis import RedisServer
from tests.integration.service.conftest import Service, config

HELLO = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Asked:
    """`cache` and `age` are the headers of the answer."""

    status: int
    cache: str | None
    age: str | None
    body: bytes


async def ask(
    api: Service, headers: dict[str, str] | None = None, path: str = "chat/completions", **fields: Any
) -> Asked:
    """POST the usual request with `fields` added to it, or in place of its own."""
    body = {"model": "chat", "messages": HELLO, **fields}
    async with api.http.post(f"{api.url}/v1/{path}", json=body, headers=headers) as answer:
        said = answer.headers
        return Asked(answer.status, said.get("x-aiapp-cache"), said.get("Age"), await answer.read())


def exact(url: str, redis: RedisServer, folder: Path, ttl: float = 60.0, **fields: Any) -> ServiceConfig:
    """The usual configuration with the exact cache."""
    file = folder / "redis-url"
    file.write_text(redis.url)
    values = {"redis": RedisConfig(url_file=file), "cache": CacheConfig(exact=ExactCacheConfig(ttl=ttl)), **fields}
    return config(url, **values)


def two_tenants(folder: Path) -> AuthConfig:
    """Alice's and Bob's keys are `key-alice` and `key-bob`."""
    keys = folder / "keys"
    keys.mkdir()
    for name in ("alice", "bob"):
        (keys / name).write_text(f"key-{name}")
    return AuthConfig(api_keys_dir=keys)


def bearer(name: str) -> dict[str, str]:
    """Headers of Alice or Bob."""
    return {"Authorization": f"Bearer key-{name}"}


def counted(api: Service, kind: str, result: str) -> float:
    """ai_cache_total."""
    return api.metric(f'ai_cache_total{{kind="{kind}",result="{result}"}}')
