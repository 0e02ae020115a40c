"""An API with vector stores, and a worker that reads the files: both in this process, with real stores behind them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from openai.types import VectorStore

from aiapp_service.config import (
    BackendConfig,
    DatabaseConfig,
    ModelConfig,
    ModelKind,
    PgvectorConfig,
    ProviderConfig,
    ProviderKind,
    RedisConfig,
    ServiceConfig,
    VectorStoreConfig,
    WorkerConfig,
)
from aiapp_service.jobs import handlers
from aiapp_service.jobs.consumer import Consumer, Pace
from aiapp_service.jobs.redis import connect
from aiapp_service.surroundings import Surroundings
from tests.integration.servers.objects import ObjectServer
from tests.integration.servers.redis import RedisServer
from tests.integration.service.cache.asking import two_tenants
from tests.integration.service.conftest import Serve, Service, config

DEADLINE_SECONDS = 30.0


@dataclass(frozen=True)
class Keeping:
    """Where everything is kept."""

    url_file: Path
    redis: RedisServer
    objects: ObjectServer
    folder: Path

    def config(self, chat: str = "http://127.0.0.1:1/v1", **fields: Any) -> ServiceConfig:
        """Alice's and Bob's app: model `chat` at a URL, model `embed` is the mock."""
        redis_file = self.folder / "redis-url"
        redis_file.write_text(self.redis.url)
        usual = config(chat)
        embed = ModelConfig(
            name="embed", kind=ModelKind.EMBEDDING, backends=(BackendConfig(provider="fake", model="mock-embedding"),)
        )
        values: dict[str, Any] = {
            "auth": two_tenants(self.folder),
            "providers": (ProviderConfig(name="fake", kind=ProviderKind.MOCK),),
            "models": (usual.models[0], embed),
            "database": DatabaseConfig(url_file=self.url_file),
            "redis": RedisConfig(url_file=redis_file),
            "object_store": self.objects.config,
            "vector_store": VectorStoreConfig(pgvector=PgvectorConfig(), embedding_model="embed"),
            "workers": (WorkerConfig(name="embeddings", queues=("embeddings",)),),
        }
        return config(chat, **{**values, **fields})


@asynccontextmanager
async def working(api: Service, wanted: ServiceConfig, concurrency: int = 5) -> AsyncIterator[Consumer]:
    """A worker, as its role would run it."""
    assert wanted.redis is not None
    async with Surroundings.of(wanted, api.http, api.metrics) as around:
        assert around.queues is not None
        parts = handlers.Parts(api.gateway, around, around.queues)
        handler = handlers.handlers_of(["embeddings"], parts)["embeddings"]
        opened = partial(connect, wanted.redis)
        consumer = Consumer("embeddings", handler, opened, Pace(concurrency), random.Random(1), wanted.app)
        consumer.start()
        try:
            yield consumer
        finally:
            await consumer.drain(1)


@asynccontextmanager
async def app(serve: Serve, wanted: ServiceConfig) -> AsyncIterator[Service]:
    """Both."""
    async with serve(wanted) as api, working(api, wanted):
        yield api


async def upload(client: AsyncOpenAI, name: str, body: bytes | str) -> str:
    """A file; gives its id."""
    raw = body.encode() if isinstance(body, str) else body
    return (await client.files.create(file=(name, raw), purpose="assistants")).id


async def filled(
    client: AsyncOpenAI, documents: dict[str, str | bytes], **fields: Any
) -> tuple[VectorStore, dict[str, str]]:
    """A vector store with these documents in it, read; and the ids of its files by name."""
    store = await client.vector_stores.create(name="docs", **fields)
    ids = {name: await upload(client, name, body) for name, body in documents.items()}
    for id_ in ids.values():
        await client.vector_stores.files.create(store.id, file_id=id_)
    await settled(lambda: client.vector_stores.retrieve(store.id), lambda found: found.status == "completed")
    return store, ids


async def settled(ask: Callable[[], Any], right: Callable[[Any], bool]) -> Any:
    """What `ask` gives when it is right."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            if right(found := await ask()):
                return found
            await asyncio.sleep(0.02)
