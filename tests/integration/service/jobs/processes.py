"""A worker as a process of its own, with a handler whose effects can be counted.

Data of a job: {"until": KEY}: it ends when KEY is in Redis; {"ticks": N}: after N hundredths of a second.
Its effect is written idempotently, `started` counts each time that it begins. Its result names the process.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

from aiapp_service.config import RedisConfig
from aiapp_service.http.server import stop_signals
from aiapp_service.jobs.consumer import Consumer, Pace
from aiapp_service.jobs.job import Handler, Job
from aiapp_service.jobs.redis import connect
from tests.integration.service.waiting import until

STARTED, EFFECTS, REPEATED = "started", "effects", "repeated"


class JobProcess:
    """It takes jobs from when it is made."""

    def __init__(self, url_file: Path, concurrency: int, log: Path) -> None:
        command = [sys.executable, "-m", __name__, str(url_file), str(concurrency)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def said(self) -> str:
        return self._log.read_text()


def counting(client: Redis) -> Handler:
    """The handler."""

    async def handle(job: Job) -> int:
        await client.hincrby(STARTED, job.id, 1)
        if (key := job.data.get("until")) is not None:
            await until(f"{key} is there", lambda: client.exists(key), seconds=3600)
        else:
            await asyncio.sleep(job.data.get("ticks", 0) / 100)
        if not await client.hsetnx(EFFECTS, job.id, os.getpid()):
            await client.hincrby(REPEATED, job.id, 1)
        return os.getpid()

    return handle


async def idle(_job: Job) -> None:
    return


async def main(url_file: Path, concurrency: int) -> None:
    config = RedisConfig(url_file=url_file)
    stop = stop_signals()
    async with connect(config) as client:
        handlers = {"count": counting(client), "nothing": idle}

        async def handle(job: Job) -> object:
            return await handlers[job.name](job)

        opened = partial(connect, config)
        consumer = Consumer("embeddings", handle, opened, Pace(concurrency), random.Random())
        consumer.start()
        await stop.wait()
        await consumer.drain(1.0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
