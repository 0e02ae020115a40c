"""How many documents a worker process reads in a second."""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from aiapp_service.config import (
    DatabaseConfig,
    PgvectorConfig,
    RedisConfig,
    ServiceConfig,
    VectorStoreConfig,
    WorkerConfig,
    dump,
    mock_config,
)
from aiapp_service.jobs.queue import JobQueue, NewJob
from aiapp_service.jobs.redis import connect
from aiapp_service.storage.objects import ObjectStore
from tests.bench.report import cpu_below, cpu_seconds, peak_mebibytes, tell
from tests.integration.servers.objects import ObjectServer
from tests.integration.servers.postgres import Postgres
from tests.integration.servers.processes import free_port
from tests.integration.servers.redis import RedisServer

DOCUMENTS = 1000
BYTES = 2000
CONCURRENCY = 32
STORE = "vs_bench"


def ingestion(folder: Path, url_file: Path, postgres: Postgres, redis: RedisServer, objects: ObjectServer) -> None:
    """From the first job in the queue to the last file that can be found."""
    redis_file = folder / "redis-url"
    redis_file.write_text(redis.url)
    config = mock_config().model_copy(
        update={
            "database": DatabaseConfig(url_file=url_file),
            "redis": RedisConfig(url_file=redis_file),
            "object_store": objects.config,
            "vector_store": VectorStoreConfig(pgvector=PgvectorConfig(), embedding_model="embed"),
            "workers": (WorkerConfig(name="embeddings", queues=("embeddings",), concurrency=CONCURRENCY),),
        }
    )
    file = folder / "config.yaml"
    file.write_text(dump(config))
    asyncio.run(_prepare(config, url_file.read_text()))
    port = str(free_port())
    worker = subprocess.Popen(
        [sys.executable, "-m", "aiapp_service", "worker", "--config", file, "--name", "embeddings", "--port", port],
        stderr=subprocess.DEVNULL,
    )
    try:
        _measure(config, url_file.read_text(), worker.pid, postgres)
    finally:
        worker.terminate()
        worker.wait()


def _measure(config: ServiceConfig, url: str, worker: int, postgres: Postgres) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        # The first ones warm it up.
        asyncio.run(_enqueue(config, range(DOCUMENTS, DOCUMENTS + 20)))
        _until(connection, 20)
        cpu, theirs, begun = cpu_seconds(worker), cpu_below(postgres.server.pid), time.perf_counter()
        asyncio.run(_enqueue(config, range(DOCUMENTS)))
        _until(connection, DOCUMENTS + 20)
        seconds = time.perf_counter() - begun
        used = cpu_seconds(worker) - cpu
        used_there = cpu_below(postgres.server.pid) - theirs
    tell("ingestion", [DOCUMENTS / seconds], "documents/s", "2 kB each, one worker process, Mock embedder; aim: 200")
    tell("ingestion_cpu", [1000 * used / DOCUMENTS], "ms of the worker's CPU a document")
    tell("ingestion_postgres_cpu", [1000 * used_there / DOCUMENTS], "ms of PostgreSQL's CPU a document")
    tell("ingestion_on_a_core", [DOCUMENTS / used], "documents/s", "if the worker had a core of its own")
    tell("ingestion_memory", [peak_mebibytes(worker)], "MiB, the worker's peak")


def _until(connection: psycopg.Connection, count: int) -> None:
    deadline = time.monotonic() + 300
    statement = "SELECT count(*) FROM vector_store_files WHERE store_id = %s AND status = 'completed'"
    while time.monotonic() < deadline:
        row = connection.execute(statement, (STORE,)).fetchone()
        if row == (count,):
            return
        time.sleep(0.05)
    raise TimeoutError("not all documents were read")


async def _prepare(config: ServiceConfig, url: str) -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(3, 9))) for _ in range(5000)]
    assert config.object_store is not None
    store = ObjectStore(config.object_store)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO vector_stores (id, tenant, name, metadata, embedding_model)"
            " VALUES (%s, '', '', '{}', 'embed')",
            (STORE,),
        )
        for number in range(DOCUMENTS + 20):
            body = " ".join(rng.choices(words, k=BYTES // 6))[:BYTES].encode()
            name = f"file-{number}"
            await store.put(f"files/{name}", _once(body))
            connection.execute(
                "INSERT INTO files (id, tenant, filename, content_type, status, bytes)"
                " VALUES (%s, '', %s, 'text/plain', 'processed', %s)",
                (name, f"{name}.txt", len(body)),
            )
            connection.execute(
                "INSERT INTO vector_store_files (store_id, file_id, tenant, ingestion, filename, status, attributes,"
                " chunk_tokens, overlap_tokens) VALUES (%s, %s, '', %s, %s, 'in_progress', %s, 800, 400)",
                (STORE, name, f"i{number}", f"{name}.txt", Jsonb({})),
            )
    await store.close()


async def _once(body: bytes):  # an async generator of one piece
    yield body


async def _enqueue(config: ServiceConfig, numbers: range) -> None:
    assert config.redis is not None
    async with connect(config.redis) as client:
        queue = JobQueue("embeddings", client, config.app)
        jobs = [
            NewJob(
                "ingest",
                {"tenant": "", "store": STORE, "file": f"file-{n}", "ingestion": f"i{n}", "key": ""},
                f"ingest-i{n}",
            )
            for n in numbers
        ]
        await queue.enqueue_many(jobs)
