"""/v1/jobs and `aiapp-service jobs`: who may, what they see, and what they can do."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from aiapp_service.config import AuthConfig, RedisConfig, ServiceConfig, dump, mock_config
from aiapp_service.jobs.job import Job, JobRefused
from aiapp_service.jobs.queue import JobQueue
from tests.integration.servers.redis import RedisServer
from tests.integration.service.conftest import Serve, Service
from tests.integration.service.jobs.conftest import Consuming, settled

ADMIN, TENANT = "key-of-the-admin-0123456789", "key-of-a-tenant-0123456789"
SECRET = "what the tenant wrote"


@pytest.fixture
def wanted(redis_config: RedisConfig, tmp_path: Path) -> ServiceConfig:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "admin").write_text(json.dumps({"key": ADMIN, "admin": True}))
    (folder / "tenant").write_text(json.dumps({"key": TENANT}))
    auth = AuthConfig(api_keys_dir=folder, anonymous=False)
    return ServiceConfig(**{**dict(mock_config()), "auth": auth, "redis": redis_config})


@pytest.fixture
async def api(serve: Serve, wanted: ServiceConfig) -> AsyncIterator[Service]:
    async with serve(wanted) as running:
        yield running


async def ask(api: Service, path: str, method: str = "GET", key: str = ADMIN) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with api.http.request(method, f"{api.url}/v1/jobs{path}", headers=headers) as answer:
        return answer.status, await answer.json()


async def refusing(job: Job) -> str:
    if "mended" not in job.data:
        raise JobRefused("the cause is not mended")
    return SECRET


async def failed(queue: JobQueue, consuming: Consuming, number: int) -> list[str]:
    ids = [await queue.enqueue("n", {"text": SECRET, "n": n}) for n in range(number)]
    async with consuming(refusing):
        await settled(queue, ids, "failed")
    return ids


async def test_jobs_are_seen_without_what_they_are_about(api: Service, queue: JobQueue, consuming: Consuming) -> None:
    first, _, third = await failed(queue, consuming, 3)
    for n in range(30):
        await queue.enqueue("n", {"text": SECRET, "w": n}, job_id=f"w{n:02}", priority=10 if n == 29 else 0)
    await queue.bull.add("foreign", {}, {"jobId": "foreign"})
    _, queues = await ask(api, "")
    assert queues["data"][0] == {
        "object": "queue",
        "id": "embeddings",
        "jobs": {"waiting": 31, "delayed": 0, "active": 0, "completed": 0, "failed": 3},
    }
    _, page = await ask(api, "?queue=embeddings&limit=2")
    assert len(page["data"]) == 2, "the last that failed first"
    assert page["data"][0]["error"] == "the cause is not mended"
    assert {first, third} <= {job["id"] for job in (await ask(api, "?queue=embeddings&state=failed"))[1]["data"]}
    _, waiting = await ask(api, "?queue=embeddings&state=waiting&limit=3")
    assert [job["id"] for job in waiting["data"]] == ["foreign", "w29", "w00"], "as they will run"
    _, later = await ask(api, "?queue=embeddings&state=waiting&start=29&limit=3")
    assert [job["id"] for job in later["data"]] == ["w27", "w28"]
    status, one = await ask(api, f"/embeddings/{first}")
    assert (status, one["state"], one["name"], one["attempts"]) == (200, "failed", "n", 1)
    assert one["created_at"] <= one["started_at"] <= one["finished_at"]
    assert SECRET not in json.dumps([page, waiting, one])


async def test_failed_jobs_run_again_with_all_their_attempts(
    api: Service, queue: JobQueue, consuming: Consuming
) -> None:
    ids = await failed(queue, consuming, 3)
    attempts: list[int] = []

    async def mended(job: Job) -> str:
        attempts.append(job.attempt)
        return "done"

    status, _ = await ask(api, f"/embeddings/{ids[0]}/redrive", "POST")
    assert status == 200
    assert await queue.state(ids[0]) == "waiting"
    assert (await ask(api, f"/embeddings/{ids[0]}/redrive", "POST"))[0] == 409
    assert (await ask(api, "/embeddings/redrive", "POST"))[1] == {"object": "job.redriven", "redriven": 2}
    async with consuming(mended):
        await settled(queue, ids)
    assert attempts == [1, 1, 1]


async def test_jobs_are_cancelled(api: Service, queue: JobQueue, consuming: Consuming) -> None:
    begun = asyncio.Event()

    async def handler(job: Job) -> None:
        begun.set()
        await job.cancelled.wait()
        job.heed()

    waiting = await queue.enqueue("n", {}, delay_seconds=60)
    assert (await ask(api, f"/embeddings/{waiting}/cancel", "POST"))[1]["result"] == "removed"
    running = await queue.enqueue("n", {"n": 1})
    async with consuming(handler):
        await begun.wait()
        assert (await ask(api, f"/embeddings/{running}/cancel", "POST"))[1]["result"] == "asked"
        await settled(queue, [running], "failed")
    assert (await ask(api, f"/embeddings/{running}/cancel", "POST"))[0] == 409


@pytest.mark.parametrize(
    ("path", "method", "status", "words"),
    [
        ("?queue=nobody", "GET", 404, "there is no queue 'nobody'"),
        ("?queue=embeddings&state=lost", "GET", 400, "state has to be one of"),
        ("?queue=embeddings&limit=101", "GET", 400, "limit has to be a number from 1 to 100"),
        ("?queue=embeddings&start=-1", "GET", 400, "start has to be"),
        ("?page=1", "GET", 400, "'page' is no parameter"),
        ("/embeddings/none", "GET", 404, "no such job"),
        ("/embeddings/none/cancel", "POST", 409, "none of this id"),
        ("/embeddings/none/redrive", "POST", 409, "only a job that has failed"),
    ],
)
async def test_wrong_question_is_told_what_is_wrong(api: Service, path, method, status, words) -> None:
    found, document = await ask(api, path, method)
    assert found == status
    assert words in document["error"]["message"]


async def test_only_admins_may(api: Service, queue: JobQueue) -> None:
    job = await queue.enqueue("n", {})
    for path, method in (
        ("", "GET"),
        ("?queue=embeddings", "GET"),
        (f"/embeddings/{job}", "GET"),
        (f"/embeddings/{job}/cancel", "POST"),
        (f"/embeddings/{job}/redrive", "POST"),
        ("/embeddings/redrive", "POST"),
    ):
        status, document = await ask(api, path, method, TENANT)
        assert (status, document["error"]["code"]) == (403, "admin_only")
        assert (await ask(api, path, method, "wrong"))[0] == 401
    assert await queue.state(job) == "waiting"


async def test_without_redis_there_are_no_jobs(serve: Serve) -> None:
    async with serve(mock_config()) as api:
        status, document = await ask(api, "")
    assert (status, document["error"]["code"]) == (501, "no_queues")


async def test_redis_that_is_down_is_said(api: Service, redis: RedisServer) -> None:
    await asyncio.to_thread(redis.server.stop)
    status, document = await ask(api, "")
    assert (status, document["error"]["code"]) == (503, "queues_unavailable")


async def test_the_command_does_the_same(
    wanted: ServiceConfig, queue: JobQueue, client: Redis, consuming: Consuming, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump(wanted))

    async def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "aiapp_service", "jobs", "--config", str(file), *arguments]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    job = (await failed(queue, consuming, 1))[0]
    await queue.enqueue("n", {}, job_id="cancelled")
    await queue.enqueue("n", {}, job_id="dropped")
    assert json.loads((await run("list"))[1].splitlines()[0])["failed"] == 1
    assert json.loads((await run("list", "embeddings"))[1])["id"] == job
    _, plain, _ = await run("show", "embeddings", job)
    assert SECRET not in plain
    _, whole, _ = await run("show", "embeddings", job, "--content")
    assert json.loads(whole)["data"]["text"] == SECRET
    assert (await run("cancel", "embeddings", "cancelled"))[:2] == (0, "cancelled: removed\n")
    assert (await run("drain", "embeddings", "--yes"))[:2] == (0, "1 jobs removed\n")
    assert (await run("redrive", "embeddings", job))[0] == 0
    assert await queue.state(job) == "waiting"
    code, _, said = await run("redrive", "embeddings", job)
    assert code == 1
    assert "not among the failed" in said
