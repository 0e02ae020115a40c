"""The sum of the ledger is what the upstream counts, whoever is killed or stopped while requests run."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from aiapp_service.billing.stream import key_of
from aiapp_service.config import RedisConfig, WorkerConfig, dump
from aiapp_service.jobs.redis import connect
from tests.integration.servers.postgres import Postgres
from tests.integration.servers.redis import RedisServer
from tests.integration.service.conftest import config
from tests.integration.service.ledgers import Books, new_books
from tests.integration.service.listening import listening
from tests.integration.service.roles import Role, killing
from tests.integration.service.waiting import until

EACH = 40  # requests before, while and after something is down
AT_ONCE = 8


class Counting:
    """An upstream that keeps its own books."""

    def __init__(self) -> None:
        self.answers = 0
        self.asked = 0
        self.answered = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        async with listening(app) as base:
            yield f"{base}/v1"

    async def _answer(self, _request: web.Request) -> web.Response:
        self.answers += 1
        asked, answered = self.answers, 3 * self.answers
        self.asked += asked
        self.answered += answered
        usage = {"prompt_tokens": asked, "completion_tokens": answered}
        message = {"role": "assistant", "content": "Hello"}
        return web.json_response(
            {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        )


async def send(api: Role, number: int = EACH) -> None:
    """That many requests, a few at once, all of which have to be answered."""
    many = asyncio.Semaphore(AT_ONCE)

    async def one(http: aiohttp.ClientSession) -> None:
        body = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
        # An id that clients may choose, all of them the same.
        headers = {"x-request-id": "the-same"}
        async with many, http.post("/v1/chat/completions", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async with aiohttp.ClientSession(f"http://127.0.0.1:{api.port}") as http:
        await asyncio.gather(*(one(http) for _ in range(number)))


@pytest.mark.parametrize("with_worker", [True, False], ids=["worker", "API alone"])
async def test_ledger_equals_what_the_upstream_counts(
    postgres_server: Postgres, redis: RedisServer, tmp_path: Path, with_worker: bool
) -> None:
    books = new_books(postgres_server, f"kills_{with_worker}".lower(), tmp_path)
    books.migrate()
    (tmp_path / "redis-url").write_text(redis.url)
    redis_config = RedisConfig(url_file=tmp_path / "redis-url")
    workers = (WorkerConfig(name="w", queues=("embeddings",)),) if with_worker else ()
    counting, file = Counting(), tmp_path / "config.yaml"
    async with counting.running() as url, connect(redis_config) as client:
        file.write_text(dump(config(url, redis=redis_config, database=books.config, workers=workers)))
        api = Role(file, "api")
        writer = Role(file, "worker", "--name", "w") if with_worker else api

        async def in_redis() -> bool:
            info = await client.xinfo_stream(key_of("aiapp"))
            return int(info["entries-added"]) >= counting.answers

        with killing(api, writer):
            await asyncio.gather(*(role.start() for role in {api, writer}))
            await send(api)
            if with_worker:
                await while_(api, writer.kill, writer.start)
            await while_(api, redis.server.stop, started(redis.server.start))
            await while_(api, lambda: postgres_server.server.stop(signal.SIGINT), started(postgres_server.server.start))
            await until("handed over", in_redis, seconds=20)
            api.kill()
            await api.start()
            await send(api)
            await until("all is written", lambda: len(books.rows()) >= counting.answers, seconds=30)

            async def nothing_waits() -> bool:
                return await client.xlen(key_of("aiapp")) == 0

            await until("nothing waits", nothing_waits, seconds=30)
    assert totals(books) == (counting.answers, counting.asked, counting.answered)
    assert counting.answers == EACH * (11 if with_worker else 8)


def started(start: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await asyncio.to_thread(start)

    return run


async def while_(api: Role, stop: Callable[[], None], start: Callable[[], Awaitable[None]]) -> None:
    """Stop something while requests run, and start it again while others do."""
    requests = asyncio.create_task(send(api))
    try:
        await asyncio.to_thread(stop)
        await requests
        await send(api)
    finally:
        await asyncio.gather(start(), send(api))


def totals(books: Books) -> tuple[int, int, int]:
    rows = books.rows()
    return len(rows), sum(row["input_tokens"] for row in rows), sum(row["output_tokens"] for row in rows)
