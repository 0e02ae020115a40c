"""The queue with a real Redis: nothing is lost, nothing is done twice, whatever is killed."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from aiapp_service import assembly
from aiapp_service.config import RedisConfig, ServiceConfig, WorkerConfig, dump, mock_config
from aiapp_service.jobs import embeddings
from aiapp_service.jobs.consumer import Consumer, Pace
from aiapp_service.jobs.job import Handler, Job, JobRefused
from aiapp_service.jobs.queue import JobQueue, content_id
from aiapp_service.jobs.redis import connect
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics
from tests.integration.servers.processes import free_port
from tests.integration.servers.redis import PASSWORD, RedisServer
from tests.integration.service.waiting import until

# A killed worker's jobs come back after its locks have run out.
TAKEOVER_SECONDS = 60.0


@pytest.fixture
def redis_config(redis: RedisServer, tmp_path: Path) -> RedisConfig:
    file = tmp_path / "redis-url"
    file.write_text(redis.url)
    return RedisConfig(url_file=file)


@pytest.fixture
async def client(redis_config: RedisConfig) -> AsyncIterator[Redis]:
    async with connect(redis_config) as opened:
        yield opened


@contextlib.asynccontextmanager
async def consuming(config: RedisConfig, handler: Handler, concurrency: int = 5) -> AsyncIterator[Consumer]:
    consumer = Consumer("embeddings", handler, partial(connect, config), Pace(concurrency), random.Random(1))
    consumer.start()
    try:
        yield consumer
    finally:
        await consumer.drain(0.5)


async def settled(queue: JobQueue, ids: list[str], state: str = "completed", seconds: float = 20) -> None:
    async def all_so() -> bool:
        return all([await queue.state(job_id) == state for job_id in ids])

    await until(f"jobs {state}", all_so, seconds)


async def test_jobs_run_as_many_at_once_as_asked_and_no_more(redis_config: RedisConfig, client: Redis) -> None:
    running, most = 0, 0

    async def handler(job: Job) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return int(job.data["n"])

    queue = JobQueue("embeddings", client)
    ids = [await queue.enqueue("count", {"n": n}) for n in range(30)]
    async with consuming(redis_config, handler, concurrency=3):
        await settled(queue, ids)
    assert most == 3
    assert [await queue.result(job_id) for job_id in ids] == list(range(30))


async def test_the_same_job_is_one_job(redis_config: RedisConfig, client: Redis) -> None:
    seen: list[str] = []

    async def handler(job: Job) -> None:
        seen.append(job.id)

    queue = JobQueue("embeddings", client)
    first = await queue.enqueue("one", {"a": 1, "b": 2})
    assert await queue.enqueue("one", {"b": 2, "a": 1}) == first
    other = await queue.enqueue("one", {"a": 2})
    async with consuming(redis_config, handler):
        await settled(queue, [first, other])
    assert sorted(seen) == sorted([first, other])
    assert first == content_id("one", {"a": 1, "b": 2})


async def test_failure_is_tried_again_and_refusal_is_not(redis_config: RedisConfig, client: Redis) -> None:
    attempts: list[tuple[str, int]] = []

    async def handler(job: Job) -> str:
        attempts.append((job.name, job.attempt))
        if job.name == "refused":
            raise JobRefused("input: is wrong for ever")
        if job.attempt < 3:
            raise RuntimeError("not now")
        return "done"

    queue = JobQueue("embeddings", client)
    flaky, refused = await queue.enqueue("flaky", {}), await queue.enqueue("refused", {})
    async with consuming(redis_config, handler):
        await settled(queue, [flaky], seconds=40)
        await settled(queue, [refused], "failed")
    assert [n for name, n in attempts if name == "flaky"] == [1, 2, 3]
    assert [n for name, n in attempts if name == "refused"] == [1]
    assert await queue.failure(refused) == "input: is wrong for ever"


async def test_handler_that_is_cancelled_does_not_stop_the_worker(redis_config: RedisConfig, client: Redis) -> None:
    async def handler(job: Job) -> str:
        if job.name == "bad" and job.attempt == 1:
            raise asyncio.CancelledError
        return "done"

    queue = JobQueue("embeddings", client)
    async with consuming(redis_config, handler, concurrency=1) as consumer:
        bad = await queue.enqueue("bad", {})
        good = await queue.enqueue("good", {})
        await settled(queue, [good, bad], seconds=30)
        assert consumer.alive


async def test_stop_gives_back_what_is_not_done_and_the_next_one_has_it_at_once(
    redis_config: RedisConfig, client: Redis
) -> None:
    started = asyncio.Event()

    async def slow(_job: Job) -> None:
        started.set()
        await asyncio.sleep(3600)

    async def quick(job: Job) -> int:
        return job.attempt

    queue = JobQueue("embeddings", client)
    job = await queue.enqueue("work", {})
    async with consuming(redis_config, slow):
        await started.wait()
    async with consuming(redis_config, quick):
        await settled(queue, [job], seconds=10)
    assert await queue.result(job) == 1, "what was given back does not count as a try"


async def test_redis_goes_and_comes_back(redis: RedisServer, redis_config: RedisConfig, client: Redis) -> None:
    async def handler(job: Job) -> str:
        return job.id

    queue = JobQueue("embeddings", client)
    async with consuming(redis_config, handler) as consumer:
        await settled(queue, [await queue.enqueue("before", {})])
        await asyncio.to_thread(redis.server.stop)
        await asyncio.sleep(0)
        assert consumer.alive
        await asyncio.to_thread(redis.server.start)
        await settled(queue, [await queue.enqueue("after", {})], seconds=30)


async def test_worker_starts_before_redis(redis: RedisServer, redis_config: RedisConfig, client: Redis) -> None:
    async def handler(job: Job) -> str:
        return job.id

    queue = JobQueue("embeddings", client)
    job = await queue.enqueue("early", {})
    await asyncio.to_thread(redis.server.stop)
    async with consuming(redis_config, handler) as consumer:
        await asyncio.to_thread(redis.server.start)
        await settled(queue, [job], seconds=30)
        assert consumer.alive


class Worker:
    """`aiapp-service worker` as a process."""

    def __init__(self, folder: Path, config: RedisConfig) -> None:
        base = mock_config()
        worker = WorkerConfig(name="w", queues=("embeddings",), concurrency=4)
        whole = ServiceConfig(**{**dict(base), "workers": (worker,), "redis": config, "drain_seconds": 1})
        self._file = folder / "config.yaml"
        self._file.write_text(dump(whole))
        self._log = folder / "worker.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self.port = free_port()
        arguments = ["worker", "--name", "w", "--config", str(self._file), "--port", str(self.port)]
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-m", "aiapp_service", *arguments], stdout=output, stderr=subprocess.STDOUT
            )
        await until("worker ready", lambda: self.get("/readyz") == "ok\n", seconds=30)

    def get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def said(self) -> str:
        return self._log.read_text()


@pytest.fixture
async def worker(tmp_path: Path, redis_config: RedisConfig) -> AsyncIterator[Worker]:
    made = Worker(tmp_path, redis_config)
    await made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGKILL)


async def test_embeddings_are_made(worker: Worker, client: Redis) -> None:
    queue = JobQueue("embeddings", client)
    job = await queue.enqueue("embed", {"model": "embed", "input": ["one", "two"], "dimensions": 8})
    await settled(queue, [job])
    result = await queue.result(job)
    assert result["model"] == "embed"
    assert [len(vector) for vector in result["embeddings"]] == [8, 8]
    assert result["embeddings"][0] != result["embeddings"][1]
    assert result["usage"] == {"input": 2}
    await until("depth is told", lambda: 'ai_queue_depth{queue="embeddings"} 0.0' in (worker.get("/metrics") or ""))
    await until(
        "healthy",
        lambda: json.loads(worker.get("/health") or "{}").get("checks", {}).get("redis", {})["status"] == "ok",
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"input": ["x"]}, "model"),
        ({"model": "chat", "input": ["x"]}, "no embedding model"),
        ({"model": "embed"}, "input"),
        ({"model": "embed", "input": "text"}, "input"),
        ({"model": "embed", "input": [""]}, "input"),
        ({"model": "embed", "input": ["x"] * 257}, "at most 256"),
        ({"model": "embed", "input": ["x"], "dimensions": 0}, "dimensions"),
    ],
)
async def test_wrong_job_fails_once_and_says_why(redis_config: RedisConfig, client: Redis, data, words) -> None:
    queue = JobQueue("embeddings", client)
    async with client_session() as session:
        metrics = Metrics()
        handle = embeddings.handler(assembly.gateway(mock_config(), Surroundings(session, metrics)), metrics)
        job = await queue.enqueue("embed", data)
        async with consuming(redis_config, handle):
            await settled(queue, [job], "failed")
    assert words in await queue.failure(job)


async def test_killed_worker_loses_no_job(worker: Worker, client: Redis) -> None:
    """SIGKILL while jobs run: each is completed by the next worker, once."""
    queue = JobQueue("embeddings", client)
    texts = ["word"] * 200
    ids = [
        await queue.enqueue("embed", {"model": "embed", "input": texts, "dimensions": 4096, "n": n}) for n in range(8)
    ]

    async def begun() -> bool:
        return any([await queue.state(job_id) in {"active", "completed"} for job_id in ids])

    await until("jobs run", begun)
    assert worker.end(signal.SIGKILL) == -signal.SIGKILL
    await worker.start()
    await settled(queue, ids, seconds=TAKEOVER_SECONDS)
    assert all([(await queue.result(job_id))["embeddings"] for job_id in ids])


async def test_stopped_worker_exits_well_and_says_nothing_secret(worker: Worker, redis: RedisServer) -> None:
    redis.server.stop()
    await until("trouble is noticed", lambda: '"status": "error"' in (worker.get("/health") or ""), seconds=20)
    assert worker.get("/livez") == "ok\n", "restarting would mend nothing"
    redis.server.start()
    await until(
        "recovers", lambda: '"status": "error"' not in (worker.get("/health") or '"status": "error"'), seconds=30
    )
    assert worker.end(signal.SIGTERM) == 0
    assert PASSWORD not in worker.said()


@pytest.mark.parametrize(
    ("worker", "redis_given", "words"),
    [
        (WorkerConfig(name="w", queues=("nobody",)), True, "nothing handles the queue nobody; known: embeddings"),
        (WorkerConfig(name="w", queues=("embeddings",)), False, "need Redis"),
        (WorkerConfig(name="other", queues=("embeddings",)), True, "no worker is named w; configured: other"),
    ],
)
def test_wrong_configuration_ends_it_at_once(
    tmp_path: Path, worker: WorkerConfig, redis_given: bool, words: str
) -> None:
    (tmp_path / "url").write_text("redis://127.0.0.1:1/0")
    redis = RedisConfig(url_file=tmp_path / "url") if redis_given else None
    file = tmp_path / "config.yaml"
    file.write_text(dump(ServiceConfig(**{**dict(mock_config()), "workers": (worker,), "redis": redis})))
    command = [sys.executable, "-m", "aiapp_service", "worker", "--name", "w", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=dict(os.environ))
    assert done.returncode == 2
    assert words in done.stderr
