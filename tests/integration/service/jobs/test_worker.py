"""The worker role as a process: its handlers, probes and metrics, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from aiapp_service import assembly
from aiapp_service.config import RedisConfig, ServiceConfig, WorkerConfig, dump, mock_config
from aiapp_service.jobs import embeddings
from aiapp_service.jobs.queue import JobQueue
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics
from tests.integration.servers.processes import free_port
from tests.integration.servers.redis import PASSWORD, RedisServer
from tests.integration.service.jobs.conftest import Consuming, settled
from tests.integration.service.waiting import until


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
            self.process = subprocess.Popen(  # noqa: ASYNC220  # only started here
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
async def test_wrong_job_fails_once_and_says_why(queue: JobQueue, consuming: Consuming, data, words) -> None:
    async with client_session() as session:
        metrics = Metrics()
        handle = embeddings.handler(assembly.gateway(mock_config(), Surroundings(session, metrics)), metrics)
        job = await queue.enqueue("embed", data)
        async with consuming(handle):
            await settled(queue, [job], "failed")
    assert words in await queue.failure(job)


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
        (WorkerConfig(name="w", queues=("nobody",)), True, "nothing handles the queue nobody; known: batches"),
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
