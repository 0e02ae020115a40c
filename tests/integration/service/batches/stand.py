"""Everything that batches need, as processes: stores, API, worker, a model server, the SDK."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from openai import AsyncOpenAI, InternalServerError
from openai.types import Batch
from psycopg.rows import dict_row

from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    ModelConfig,
    ModelKind,
    PriceConfig,
    ProviderConfig,
    ProviderKind,
    RedisConfig,
    ServiceConfig,
    TimeoutsConfig,
    WorkerConfig,
    dump,
)
from tests.integration.servers.objects import ObjectServer
from tests.integration.servers.postgres import Postgres
from tests.integration.servers.redis import RedisServer
from tests.integration.service.batches.counting import CountingUpstream
from tests.integration.service.ledgers import Books, new_books
from tests.integration.service.roles import Role, killing
from tests.integration.service.waiting import until

KEY = "key-of-web"
OTHER_KEY = "key-of-other"
PRICE = PriceConfig(input_per_1m=Decimal(1000), output_per_1m=Decimal(2000))  # a line costs 0.02
ENDED = {"completed", "failed", "expired", "cancelled"}


@dataclass
class Stand:
    """A running app."""

    upstream: CountingUpstream
    api: Role
    worker: Role
    books: Books
    redis: RedisServer
    objects: ObjectServer
    clients: dict[str, AsyncOpenAI] = field(default_factory=dict)

    def sdk(self, key: str = KEY) -> AsyncOpenAI:
        """The SDK as an application uses it."""
        if key not in self.clients:
            self.clients[key] = AsyncOpenAI(base_url=f"{self.api.url}/v1", api_key=key, max_retries=0, timeout=20)
        return self.clients[key]

    async def upload(self, lines: Iterable[Any], key: str = KEY) -> str:
        """A file of purpose batch; lines that are no text are written as JSON."""
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        file = await self.sdk(key).files.create(file=("lines.jsonl", text.encode()), purpose="batch")
        return file.id

    async def create(self, lines: Sequence[Any], endpoint: Any = "/v1/chat/completions") -> Batch:
        """A batch of these lines."""
        name = await self.upload(lines)
        return await self.sdk().batches.create(input_file_id=name, endpoint=endpoint, completion_window="24h")

    async def ended(self, batch: Batch, seconds: float = 60) -> Batch:
        """The batch when it has ended."""
        found = batch

        async def over() -> bool:
            nonlocal found
            try:
                found = await self.sdk().batches.retrieve(batch.id)
            except InternalServerError:
                # A test has stopped a store.
                return False
            return found.status in ENDED

        await until(f"the batch ends: {self.worker.said()[-2000:]}", over, seconds)
        return found

    async def lines(self, file: str | None) -> list[dict[str, Any]]:
        """What stands in an output or error file."""
        if file is None:
            return []
        content = await self.sdk().files.content(file)
        return [json.loads(line) for line in content.text.splitlines()]

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What the database has."""
        with psycopg.connect(self.books.url, row_factory=dict_row) as connection:
            return connection.execute(statement).fetchall()


def asking(number: int, **fields: Any) -> dict[str, Any]:
    """A line that asks the model `chat`."""
    body = {"model": "chat", "messages": [{"role": "user", "content": f"line {number}"}], **fields}
    return {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


@asynccontextmanager
async def stand(
    folder: Path, postgres: Postgres, redis: RedisServer, objects: ObjectServer, name: str, **fields: Any
) -> AsyncIterator[Stand]:
    """Run it while the context lasts."""
    books = new_books(postgres, name, folder)
    books.migrate()
    (folder / "redis-url").write_text(redis.url)
    keys = folder / "keys"
    keys.mkdir()
    (keys / "web").write_text(KEY)
    (keys / "other").write_text(OTHER_KEY)
    upstream = CountingUpstream()
    async with upstream.running():
        backend = BackendConfig(provider="lab", model="lab-model", price=PRICE)
        timeouts = TimeoutsConfig(connect=0.5, first_token=10, idle=10, total=30)
        values: dict[str, Any] = {
            "auth": AuthConfig(api_keys_dir=keys),
            "providers": (ProviderConfig(name="lab", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=upstream.url),),
            "models": (
                ModelConfig(name="chat", backends=(backend,), timeouts=timeouts),
                ModelConfig(name="embed", kind=ModelKind.EMBEDDING, backends=(backend,), timeouts=timeouts),
            ),
            "workers": (WorkerConfig(name="w", queues=("batches",), concurrency=4),),
            "database": books.config,
            "redis": RedisConfig(url_file=folder / "redis-url"),
            "object_store": objects.config,
            "drain_seconds": 2,
        }
        file = folder / "config.yaml"
        file.write_text(dump(ServiceConfig(**{**values, **fields})))
        api, worker = Role(file, "api"), Role(file, "worker", "--name", "w")
        with killing(api, worker):
            await asyncio.gather(api.start(), worker.start())
            running = Stand(upstream, api, worker, books, redis, objects)
            try:
                yield running
            finally:
                for client in running.clients.values():
                    await client.close()
