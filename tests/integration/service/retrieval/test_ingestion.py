"""Reading many files at once: calls for several of them, limits of the provider, processes that are killed."""

import asyncio
import os
import signal
from pathlib import Path

import psycopg
from openai import AsyncOpenAI
from redis import Redis

from aiapp_service.config import BackendConfig, InferenceConfig, ModelConfig, ModelKind, ServiceConfig, dump
from aiapp_service.retrieval import forgotten
from tests.integration.service.conftest import Serve, Service
from tests.integration.service.retrieval.embedding_server import EmbeddingServer
from tests.integration.service.retrieval.keeping import Keeping, settled, upload, working
from tests.integration.service.roles import Role, killing
from tests.integration.service.waiting import until


def embedding_by(keeping: Keeping, server: EmbeddingServer) -> ServiceConfig:
    usual = keeping.config()
    backend = BackendConfig(inference="limited", model="m")
    embed = ModelConfig(name="embed", kind=ModelKind.EMBEDDING, backends=(backend,))
    return usual.model_copy(
        update={
            "inference": (*usual.inference, InferenceConfig(name="limited", base_url=server.url)),
            "models": (usual.models[0], embed),
        }
    )


async def queued(client: AsyncOpenAI, texts: dict[str, str]) -> str:
    """A store with these files, which wait to be read."""
    store = await client.vector_stores.create()
    ids = [await upload(client, name, text) for name, text in texts.items()]
    await client.vector_stores.file_batches.create(store.id, file_ids=ids)
    return store.id


async def completed(client: AsyncOpenAI, store: str) -> None:
    await settled(lambda: client.vector_stores.retrieve(store), lambda found: not found.file_counts.in_progress)


async def test_files_that_wait_are_embedded_together(serve: Serve, keeping: Keeping) -> None:
    async with EmbeddingServer(seconds=0.5).running() as server:
        wanted = embedding_by(keeping, server)
        async with serve(wanted) as api:
            client = api.sdk("key-alice")
            store = await queued(client, {f"{n}.txt": f"Text number {n}." for n in range(30)})
            async with working(api, wanted, concurrency=30):
                await completed(client, store)
            counts = (await client.vector_stores.retrieve(store)).file_counts
            assert (counts.completed, counts.failed) == (30, 0)
            assert sorted(text for texts in server.taken for text in texts) == sorted(
                f"Text number {n}." for n in range(30)
            )
            # On a busy machine they come one by one; four calls at a time let the others gather in any case.
            assert len(server.taken) <= 20
            assert api.metric('ai_tokens_total{endpoint="embeddings",model="embed",type="input"}') == 30


async def test_a_text_that_is_refused_fails_its_file_alone(serve: Serve, keeping: Keeping) -> None:
    async with EmbeddingServer(poison="Poison").running() as server:
        wanted = embedding_by(keeping, server)
        async with serve(wanted) as api:
            client = api.sdk("key-alice")
            texts = {f"{n}.txt": f"Text number {n}." for n in range(6)}
            store = await queued(client, {**texts, "bad.txt": "Poison."})
            async with working(api, wanted, concurrency=10):
                await completed(client, store)
            counts = (await client.vector_stores.retrieve(store)).file_counts
            assert (counts.completed, counts.failed) == (6, 1)


async def test_a_busy_model_slows_the_queue_and_fails_nothing(serve: Serve, keeping: Keeping) -> None:
    async with EmbeddingServer(busy=8).running() as server:
        wanted = embedding_by(keeping, server)
        async with serve(wanted) as api:
            client = api.sdk("key-alice")
            store = await queued(client, {f"{n}.txt": f"Text number {n}." for n in range(3)})
            async with working(api, wanted, concurrency=3):
                await completed(client, store)
            counts = (await client.vector_stores.retrieve(store)).file_counts
            assert (counts.completed, counts.failed) == (3, 0)
            assert server.refused == 8


async def test_a_file_whose_api_was_killed_before_it_could_add_the_job(
    keeping: Keeping, connection: psycopg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump(keeping.config()))
    api, other, worker = Role(file, "api"), Role(file, "api"), Role(file, "worker", "--name", "embeddings")
    with killing(api, other, worker):
        await api.start()
        async with AsyncOpenAI(base_url=f"{api.url}/v1", api_key="key-alice", max_retries=0, timeout=30) as client:
            store, name = await client.vector_stores.create(), await upload(client, "a.txt", "Trout live in rivers.")
            # Redis hears nothing more: the row is written, the job is not.
            os.kill(keeping.redis.server.pid, signal.SIGSTOP)
            try:
                adding = asyncio.create_task(client.vector_stores.files.create(store.id, file_id=name))
                rows = "SELECT count(*) FROM vector_store_files WHERE store_id = %s AND status = 'in_progress'"
                await until("the row is there", lambda: connection.execute(rows, (store.id,)).fetchone() == (1,))
                api.kill()
                await asyncio.gather(adding, return_exceptions=True)
            finally:
                os.kill(keeping.redis.server.pid, signal.SIGCONT)
        with Redis.from_url(keeping.redis.url) as redis:
            assert redis.keys("*ingest-*") == []
        connection.execute(
            "UPDATE vector_store_files SET created_at = created_at - make_interval(secs => %s) WHERE store_id = %s",
            (forgotten.FORGOTTEN_SECONDS, store.id),
        )
        await worker.start()
        await other.start()
        async with AsyncOpenAI(base_url=f"{other.url}/v1", api_key="key-alice") as client:
            await until("it is read", lambda: _is(connection, store.id, "completed"), seconds=60)
            found = await client.vector_stores.search(store.id, query="trout")
            assert [hit.filename for hit in found.data] == ["a.txt"]


async def test_a_worker_that_is_killed_loses_nothing_and_writes_nothing_twice(
    serve: Serve, keeping: Keeping, connection: psycopg.Connection, tmp_path: Path
) -> None:
    async with EmbeddingServer(seconds=0.3).running() as server:
        wanted = embedding_by(keeping, server)
        file = tmp_path / "config.yaml"
        file.write_text(dump(wanted))
        first, second = (Role(file, "worker", "--name", "embeddings") for _ in range(2))
        with killing(first, second):
            async with serve(wanted) as api:
                client = api.sdk("key-alice")
                store = await queued(client, {f"{n}.txt": f"Text number {n}." for n in range(25)})
                await first.start()
                await until("some are read", lambda: _count(connection, store, "completed") > 0)
                first.kill()
                assert _count(connection, store, "in_progress") > 0
                await second.start()
                await until("all are read", lambda: _count(connection, store, "completed") == 25, seconds=60)
                chunks = connection.execute(
                    "SELECT count(*), count(DISTINCT file_id) FROM vector_store_chunks WHERE store_id = %s", (store,)
                ).fetchone()
                assert chunks == (25, 25)


async def test_a_job_that_has_killed_its_workers_fails_its_file(serve: Serve, keeping: Keeping) -> None:
    async with serve(keeping.config()) as api:
        stores = _stores(api)
        client = api.sdk("key-alice")
        store = await queued(client, {"a.txt": "A."})
        (unread,) = [one for one in await stores.pending.unread(0.0, 10) if one.file.store == store]
        queue = stores.queues["embeddings"]
        name = f"ingest-{unread.file.ingestion}"
        # As the job library leaves a job that was begun too often.
        await queue.client.hset(
            queue.prefix + name,
            mapping={"finishedOn": "1", "failedReason": "job stalled more than allowable limit"},
        )
        assert name not in {job.job_id for job in await forgotten.look(stores, 0.0)}
        (found,) = (await client.vector_stores.files.list(store)).data
        assert found.status == "failed"
        assert found.last_error is not None
        assert "stalled" in found.last_error.message


def _stores(api: Service):  # the class is loaded with the driver
    found = api.gateway.current.vector_stores
    assert found is not None
    return found


def _count(connection: psycopg.Connection, store: str, status: str) -> int:
    row = connection.execute(
        "SELECT count(*) FROM vector_store_files WHERE store_id = %s AND status = %s", (store, status)
    ).fetchone()
    assert row is not None
    return int(row[0])


def _is(connection: psycopg.Connection, store: str, status: str) -> bool:
    return _count(connection, store, status) > 0
