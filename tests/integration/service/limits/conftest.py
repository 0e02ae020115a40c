"""A gateway with limits: priced backends, keys, and a look at what is held."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import redis as driver

from aiapp_service.config import (
    AuthConfig,
    BudgetConfig,
    ModelConfig,
    PriceConfig,
    RateLimitConfig,
    RedisConfig,
    ServiceConfig,
)
from aiapp_service.stores import redis as redis_store
from tests.integration.servers.redis import RedisServer
from tests.integration.service.conftest import config


class Answer(NamedTuple):
    """What came of a request; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error that the body tells."""
        return dict(json.loads(self.content)["error"])


HELLO = [{"role": "user", "content": "Hello"}]
# "Hello" is estimated at 2 tokens; the test's server counts 7, and 4 for its answer.
ESTIMATED_INPUT = 2
PRICE = PriceConfig(input_per_1m=Decimal(1000), output_per_1m=Decimal(2000))
ACTUAL_TOKENS = 7 + 4
ACTUAL_USD = 7 * Decimal("0.001") + 4 * Decimal("0.002")


def cost(most: int) -> Decimal:
    """What a request with `max_tokens` is estimated to cost."""
    return ESTIMATED_INPUT * Decimal("0.001") + most * Decimal("0.002")


def limited(
    *urls: str, redis_file: Path | None = None, price: PriceConfig | None = PRICE, **fields: Any
) -> ServiceConfig:
    """As `config`, with a price for all backends."""
    plain = config(*urls, **fields)
    models = tuple(
        ModelConfig(**{**dict(m), "backends": tuple(b.model_copy(update={"price": price}) for b in m.backends)})
        for m in plain.models
    )
    redis = None if redis_file is None else RedisConfig(url_file=redis_file)
    return plain.model_copy(update={"models": models, "redis": redis})


def rates(**most: Any) -> RateLimitConfig:
    return RateLimitConfig(**most)


def budget(usd: Decimal | str, **fields: Any) -> BudgetConfig:
    return BudgetConfig(**{"name": "monthly", "limit_usd": Decimal(usd), **fields})


def keys(folder: Path, *names: str) -> AuthConfig:
    """The key of each is its name with `-key`."""
    for name in names:
        (folder / name).write_text(f"{name}-key")
    return AuthConfig(api_keys_dir=folder)


async def ask(url: str, http: aiohttp.ClientSession, key: str = "", **fields: Any) -> Answer:
    """One chat."""
    headers = {"Authorization": f"Bearer {key}-key"} if key else {}
    body = {"model": "chat", "messages": HELLO, "max_tokens": 10, **fields}
    async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
        return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read())


@pytest.fixture
def redis_file(redis: RedisServer, tmp_path: Path) -> Path:
    file = tmp_path / "redis-url"
    file.write_text(redis.url)
    return file


@contextmanager
def hanging(redis: RedisServer) -> Iterator[None]:
    """It takes connections and bytes, and says nothing."""
    process = redis.server._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has nothing to do with deadlines does not depend on how busy the machine is."""
    monkeypatch.setattr(redis_store, "DEADLINE_SECONDS", 10.0)


class Book:
    """What Redis has noted."""

    def __init__(self, client: driver.Redis) -> None:
        self._client = client

    def _keys(self, pattern: str) -> list[str]:
        return [str(key) for key in self._client.scan_iter(f"*:limits:{pattern}")]

    @property
    def spent(self) -> Decimal:
        """Dollars spent of all budgets together."""
        return self._sum("spent")

    @property
    def reserved(self) -> Decimal:
        """Dollars reserved of all budgets together."""
        return self._sum("reserved")

    @property
    def held(self) -> int:
        """Slots and shares of budgets that somebody holds."""
        now = 1000 * time.time()
        return sum(
            int(self._client.zcount(key, now, "+inf")) for key in [*self._keys("slots:*"), *self._keys("budget:*:held")]
        )

    def _sum(self, field: str) -> Decimal:
        accounts = [key for key in self._keys("budget:*") if not key.endswith(":held")]
        return sum((Decimal(self._client.hget(key, field) or 0) for key in accounts), Decimal(0)) / 10**9


@pytest.fixture
def book(redis: RedisServer) -> Iterator[Book]:
    with driver.Redis.from_url(redis.url, decode_responses=True) as client:
        yield Book(client)
