"""BullMQ of Node.js on the same queues: it adds, listens and works, and so do we."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aiapp_service import assembly
from aiapp_service.config import mock_config
from aiapp_service.jobs import embeddings
from aiapp_service.jobs.bull import prefix_of
from aiapp_service.jobs.job import Job, JobRefused
from aiapp_service.jobs.queue import JobQueue
from aiapp_service.llm.http_upstream import client_session
from aiapp_service.surroundings import Surroundings
from aiapp_service.telemetry.metrics import Metrics
from tests.cluster.paths import REPOSITORY
from tests.integration.servers.redis import RedisServer
from tests.integration.service.jobs.conftest import QUEUE, Consuming, settled
from tests.integration.service.node_sdks import installed
from tests.integration.service.waiting import until

SOURCES = REPOSITORY / "tests" / "interop"
PREFIX = prefix_of("aiapp")


@pytest.fixture(scope="session")
def packages(pytestconfig: pytest.Config) -> Path:
    """BullMQ of tests/interop; an installation is told of while it goes on."""
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        return installed(Console(highlight=False, width=160, stderr=True), SOURCES)


@dataclass(frozen=True)
class Node:
    """Runs scripts beside the packages."""

    folder: Path
    redis: str

    async def start(self, script: str, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "node",
            script,
            *arguments,
            cwd=self.folder,
            env={**os.environ, "REDIS_URL": self.redis},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, script: str, *arguments: str) -> str:
        process = await self.start(script, *arguments)
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()[-3000:]
        return out.decode()

    @asynccontextmanager
    async def lasting(self, script: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Runs it while the context lasts, gives what it says."""
        process, said = await self.start(script, QUEUE, PREFIX), []

        async def hear() -> None:
            assert process.stdout is not None
            while line := await process.stdout.readline():
                said.append(json.loads(line))

        hearing = asyncio.create_task(hear())
        try:
            await until(f"{script} is ready", lambda: said or process.returncode is not None)
            assert process.returncode is None
            yield said
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await hearing


@pytest.fixture
def node(packages: Path, redis: RedisServer, tmp_path: Path) -> Node:
    folder = tmp_path / "node"
    folder.mkdir()
    for source in SOURCES.glob("*.mjs"):
        shutil.copy(source, folder)
    (folder / "node_modules").symlink_to(packages)
    return Node(folder, redis.url)


async def test_jobs_of_a_node_producer_are_done_and_a_node_listener_hears_of_it(
    node: Node, queue: JobQueue, consuming: Consuming
) -> None:
    async def handler(job: Job) -> dict[str, Any]:
        if job.name == "refuse":
            raise JobRefused("never")
        await job.progress({"percent": 50})
        return {"said": job.data["text"], "attempt": job.attempt}

    async with node.lasting("listen.mjs") as heard, consuming(handler):
        ids = json.loads(await node.run("produce.mjs", QUEUE, PREFIX))
        assert ids == ["node-one", "node-delayed", "node-first", "node-refused"]
        await settled(queue, ids[:3])
        await settled(queue, ids[3:], "failed")
        await until("the listener has heard it all", lambda: len(heard) == 1 + 3 + 3 + 1)
    told = {(entry["event"], entry["jobId"]): entry for entry in heard[1:]}
    assert told["completed", "node-delayed"]["returnvalue"] == {"said": "delayed", "attempt": 1}
    assert told["progress", "node-one"]["data"] == {"percent": 50}
    assert told["failed", "node-refused"]["failedReason"] == "never"


async def test_a_node_worker_does_our_jobs(node: Node, queue: JobQueue) -> None:
    async with node.lasting("work.mjs"), node.lasting("listen.mjs") as heard:
        job = await queue.enqueue("upper", {"text": "quietly"}, job_id="for-node")
        delayed = await queue.enqueue("upper", {"text": "later"}, delay_seconds=0.2)
        await settled(queue, [job, delayed], seconds=30)
        assert await queue.result(job) == {"text": "QUIETLY"}
        assert await queue.result(delayed) == {"text": "LATER"}
        await until("progress", lambda: {"progress", "completed"} <= {e["event"] for e in heard})


async def test_the_example_of_the_docs_runs(node: Node, redis: RedisServer, consuming: Consuming) -> None:
    text = (REPOSITORY / "docs" / "jobs.md").read_text(encoding="utf-8")
    found = re.search(r"```js\n// embed\.mjs\n(.*?)```", text, re.DOTALL)
    assert found
    (node.folder / "embed.mjs").write_text(found[1].replace("{aiapp:assistant}", PREFIX))
    async with client_session() as session:
        metrics = Metrics()
        handle = embeddings.handler(assembly.gateway(mock_config(), Surroundings(session, metrics)), metrics)
        async with consuming(handle):
            assert await node.run("embed.mjs") == "2 256 8\n"
