"""`make bench-degradation`: how much longer requests take while something that they can do without is away.

Redis down, Redis slow, PostgreSQL down, a backend that swallows connections: the 99th percentile may rise by the
deadline of what is away, and no request may fail. Each is compared with the same service a moment before, in several
rounds, of which the quietest one counts on either side: whatever else runs on the machine only makes requests longer.
Exits with 1 where that is not so.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from aiapp_service.config import (
    BackendConfig,
    DatabaseConfig,
    InferenceConfig,
    ModelConfig,
    ServiceConfig,
    TimeoutsConfig,
)
from aiapp_service.db.migrate import migrate
from aiapp_service.stores import postgres as requests_database
from aiapp_service.stores import redis as requests_redis
from tests.bench.report import tell
from tests.bench.serving import CORES, KEY, TOKENS, UPSTREAM, config_of, running, service
from tests.integration.servers.postgres import postgres
from tests.integration.servers.processes import Server, free_port
from tests.integration.servers.redis import redis_server

PORT, BLACK_HOLED = 18196, 18197
ROUNDS = 3
SECONDS = 3
# What has been away is found within a second.
RECOVERY_SECONDS = 3
CONCURRENCY = 4
SLOW_SECONDS = 0.5
CONNECT_SECONDS = 0.5
_BODY = {"model": "chat", "messages": [{"role": "user", "content": "Say something fixed."}]}


class Proxy:
    """In front of Redis; what it passes on comes `delay` seconds later."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self._port = port

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        """Pass on what comes to `port`."""
        async with await asyncio.start_server(self._connected, "127.0.0.1", port):
            yield

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # At the end of all it is cancelled.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, out = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(self._pass(reader, out), self._pass(there, writer))
        writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        writer.close()


def main() -> None:
    """Run it, print what was found."""
    os.sched_setaffinity(0, {CORES[0]})
    with tempfile.TemporaryDirectory() as name:
        load = Path(name) / "load"
        subprocess.run(["go", "build", "-o", load, "."], cwd=Path(__file__).parent / "load", check=True)
        sys.exit(not asyncio.run(_compared(load, Path(name))))


async def _compared(load: Path, folder: Path) -> bool:
    (folder / "keys").mkdir()
    (folder / "keys" / "bench").write_text(KEY, encoding="utf-8")
    proxied = free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder / "redis"))
        (folder / "redis-url").write_text(redis.url.replace(str(redis.port), str(proxied)), encoding="utf-8")
        database = stack.enter_context(postgres(folder / "postgres"))
        (folder / "database-url").write_text(database.new_database("app"), encoding="utf-8")
        if migrate(folder / "database-url", folder / "migrated"):
            raise RuntimeError("the database cannot be migrated")
        upstream = [str(load), "upstream", f"127.0.0.1:{UPSTREAM}", str(TOKENS)]
        stack.enter_context(running(upstream, CORES[0], f"http://127.0.0.1:{UPSTREAM}/v1/models", folder))
        config = config_of(folder, cached=False).model_copy(
            update={"database": DatabaseConfig(url_file=folder / "database-url")}
        )
        proxy = Proxy(redis.port)
        async with proxy.listening(proxied):
            # Its start waits for Redis, which answers through this process.
            await asyncio.to_thread(stack.enter_context, service(config, PORT, folder))
            redis_limit = 1000 * requests_redis.DEADLINE_SECONDS
            database_limit = 1000 * requests_database.DEADLINE_SECONDS
            fine = [
                await _compared_with("redis_down", load, lambda: away(redis.server), redis_limit),
                await _compared_with("redis_slow", load, lambda: slow(proxy), redis_limit),
                await _compared_with("postgres_down", load, lambda: away(database.server), database_limit),
            ]
            with black_hole() as port:
                await asyncio.to_thread(stack.enter_context, service(_holed(config, port), BLACK_HOLED, folder))
                limit = 1000 * CONNECT_SECONDS
                fine.append(await _compared_with("backend_black_holed", load, nothing, limit, BLACK_HOLED))
    return all(fine)


@asynccontextmanager
async def away(server: Server) -> AsyncIterator[None]:
    """The server is stopped while the context lasts."""
    server.stop()
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def slow(proxy: Proxy) -> AsyncIterator[None]:
    """What passes the proxy takes its time while the context lasts."""
    proxy.delay = SLOW_SECONDS
    try:
        yield
    finally:
        proxy.delay = 0.0


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    """No fault: it is in what is measured."""
    yield


async def _compared_with(
    name: str, load: Path, fault: Callable[[], AbstractAsyncContextManager[None]], most: float, port: int = PORT
) -> bool:
    """Whether requests to `port` go on during the fault, and take at most so many milliseconds more than others."""
    healthy, found = [], []
    for _ in range(ROUNDS):
        healthy.append(await _measured(load, PORT))
        async with fault():
            found.append(await _measured(load, port))
        await asyncio.sleep(RECOVERY_SECONDS)
    before, during = ([run["p99_ms"] for run in runs] for runs in (healthy, found))
    rise, failed = min(during) - min(before), sum(run["failed"] for run in found)
    tell(f"degradation_{name}_p99", during, "ms", f"{', '.join(f'{value:.1f}' for value in before)} before")
    tell(f"degradation_{name}_p99_rise", [rise], "ms", f"at most the deadline: {most:.0f}")
    tell(f"degradation_{name}_failed", [failed], "requests", f"of {sum(r['requests'] for r in found):.0f}; aim: 0")
    return rise <= most and not failed


async def _measured(load: Path, port: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    times = [str(CONCURRENCY), str(SECONDS), "0"]
    process = await asyncio.create_subprocess_exec(
        load, "run", url, json.dumps(_BODY), *times, stdout=subprocess.PIPE, env={**os.environ, "LOAD_KEY": KEY}
    )
    output, _ = await process.communicate()
    found: dict[str, float] = json.loads(output)
    return found


def _holed(config: ServiceConfig, port: int) -> ServiceConfig:
    """The first backend is the hole."""
    hole = InferenceConfig.model_validate({"name": "hole", "baseURL": f"http://127.0.0.1:{port}/v1"})
    backends = (BackendConfig(inference="hole", model="fixed"), *config.models[0].backends)
    model = ModelConfig(name="chat", backends=backends, timeouts=TimeoutsConfig(connect=CONNECT_SECONDS))
    return config.model_copy(update={"inference": (*config.inference, hole), "models": (model,)})


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose connections never come about: its queue is full, and nobody takes anything out of it."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
