"""The API as clients reach it: on a port, with backends of the test's own."""

import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI
from prometheus_client import generate_latest

from aiapp_service import assembly
from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    InferenceConfig,
    ModelConfig,
    ModelKind,
    ProviderConfig,
    ProviderKind,
    ServiceConfig,
    TimeoutsConfig,
)
from aiapp_service.gateway import Gateway
from aiapp_service.http import health
from aiapp_service.http.api import application
from aiapp_service.http.server import listen
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.llm.router import Router
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics
from tests.integration.servers.postgres import Postgres, postgres, programs_with_vector
from tests.integration.servers.redis import RedisServer, redis_server

FAST = TimeoutsConfig(connect=0.5, first_token=1.0, idle=1.0, total=5.0)


@dataclass(frozen=True)
class Service:
    """A running API."""

    url: str
    http: aiohttp.ClientSession
    gateway: Gateway
    metrics: Metrics
    clients: list[AsyncOpenAI] = field(default_factory=list)

    @property
    def router(self) -> Router:
        """The router of now."""
        return self.gateway.current.router

    def sdk(self, key: str = "none") -> AsyncOpenAI:
        """The SDK as an application uses it, without retries."""
        client = AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=20)
        self.clients.append(client)
        return client

    def metric(self, sample: str) -> float:
        """The value of one sample, `name{label="value"}` with labels in alphabetical order; 0 where it is not there."""
        for line in generate_latest(self.metrics.registry).decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        return 0.0


Serve = Callable[..., AbstractAsyncContextManager[Service]]


def config(*urls: str, timeouts: TimeoutsConfig = FAST, **fields: Any) -> ServiceConfig:
    """Model `chat` with a backend for each URL, in order, and `embed` with the first."""
    names = [f"m{number}" for number in range(len(urls))]
    backends = tuple(BackendConfig(inference=name, model=f"model-{name}") for name in names)
    values: dict[str, Any] = {
        "auth": AuthConfig(anonymous=True),
        "inference": tuple(InferenceConfig(name=n, base_url=u) for n, u in zip(names, urls, strict=True)),
        "models": (
            ModelConfig(name="chat", backends=backends, timeouts=timeouts),
            ModelConfig(name="embed", kind=ModelKind.EMBEDDING, backends=backends[:1], timeouts=timeouts),
        ),
    }
    return ServiceConfig(**{**values, **fields})


def mock() -> tuple[ProviderConfig, BackendConfig]:
    """A Mock provider and a backend of it."""
    return ProviderConfig(name="fake", kind=ProviderKind.MOCK), BackendConfig(provider="fake", model="mock-chat")


@asynccontextmanager
async def _serve(wanted: ServiceConfig, *, drain_seconds: float = 0.1) -> AsyncIterator[Service]:
    metrics = Metrics()
    async with (
        client_session() as upstreams,
        Surroundings.of(wanted, upstreams, metrics) as around,
        aiohttp.ClientSession() as http,
    ):
        gateway = assembly.gateway(wanted, around)
        dependencies = health.Dependencies({}, random.Random(1))

        def document() -> Mapping[str, Any]:
            return health.document(dependencies, gateway.current.router, gateway.current.files.problems())

        app = application(gateway, metrics, lambda: "", document, around)
        runner = await listen(app, "127.0.0.1", 0, drain_seconds=drain_seconds)
        try:
            service = Service(f"http://127.0.0.1:{runner.addresses[0][1]}", http, gateway, metrics)
            yield service
            for client in service.clients:
                await client.close()
        finally:
            await runner.cleanup()


@pytest.fixture
def serve() -> Serve:
    """Runs the API with a configuration while a context lasts."""
    return _serve


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL for all tests."""
    with postgres(tmp_path_factory.mktemp("postgres") / "home") as server:
        yield server


@pytest.fixture(scope="session")
def vector_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL with pgvector for all tests; only its superuser may create the extension."""
    with postgres(tmp_path_factory.mktemp("vector") / "home", programs_with_vector()) as server:
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test: some of them stop it."""
    with redis_server(tmp_path / "redis") as server:
        yield server
