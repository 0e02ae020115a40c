"""New passwords under traffic: the servers' own scripts and the service, which see new Secrets at different times."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from rich.console import Console

from aiapp_service.config import AuthConfig, DatabaseConfig, RedisConfig
from aiapp_service.db.migrate import migrate
from tests.cluster.debian import SERVER_PACKAGES, ensure
from tests.integration.operator.containers import Container
from tests.integration.operator.test_postgres_container import connect, mount, postgres_container
from tests.integration.operator.test_redis_container import redis_container
from tests.integration.service.conftest import Serve, Service, config, serve
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until

__all__ = ["serve"]  # a fixture
KEY = "key-of-the-rotation-0123456789"
FIRST, SECOND = "first-word", "second-word"
PATIENCE_SECONDS = 60
_MOST_TASKS = 40


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    ensure((*SERVER_PACKAGES, "busybox"), Console(stderr=True))


@pytest.fixture(autouse=True)
def _time_for_the_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs many tests at once may be slower than what requests wait for."""
    for store in ("redis", "postgres"):
        monkeypatch.setattr(f"aiapp_service.stores.{store}.DEADLINE_SECONDS", 10.0)


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    # The path of a socket may be no longer than a hundred bytes.
    for made in postgres_container(tmp_path_factory.mktemp("p")):
        mount(made, FIRST)
        made.start()
        made.wait_ready()
        yield made


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Container]:
    for made in redis_container(_folder(tmp_path, "redis"), "sh", "minimal", "redis"):
        made.set_password(FIRST)
        made.start()
        made.wait_ready()
        yield made


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


class Files:
    """What kubelet has mounted for the API."""

    def __init__(self, folder: Path, postgres: Container, queue: Container) -> None:
        self.folder, self._postgres, self._queue = folder, postgres, queue
        self.write(FIRST, "")

    def write(self, word: str, suffix: str) -> None:
        """The URLs with these passwords."""
        port = self._postgres.environment["PGPORT"]
        urls = {
            "postgres": f"postgresql://aiapp_api{suffix}:{word}-api@127.0.0.1:{port}/aiapp",
            "owner": f"postgresql://aiapp_owner{suffix}:{word}@127.0.0.1:{port}/aiapp?options=-crole%3Daiapp",
            "redis": f"redis://:{word}@127.0.0.1:{self._queue.environment['REDIS_PORT']}/0",
        }
        for name, url in urls.items():
            (self.folder / f"{name}-url").write_text(url)

    def __getitem__(self, name: str) -> Path:
        return self.folder / f"{name}-url"


class Traffic:
    """Requests one after the other in each task, until the end of the context."""

    def __init__(self, api: Service) -> None:
        self._api = api
        self._tasks: list[asyncio.Task[None]] = []
        self.done = 0
        self.failures: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Traffic"]:
        try:
            yield self
        finally:
            self._stopped = True
            await asyncio.gather(*self._tasks)

    _stopped = False

    def add(self, *works: Callable[[], Awaitable[str]]) -> None:
        """A task for each."""
        self._tasks += [asyncio.create_task(self._repeat(work)) for work in works]

    async def more(self, count: int) -> None:
        """Until so many more were answered."""
        wanted = self.done + count
        await until(f"{count} requests more", lambda: self.done >= wanted, PATIENCE_SECONDS)

    async def usage(self) -> str:
        """Reads PostgreSQL; empty: it went well."""
        return await self._ask("GET", "/v1/usage")

    async def stored(self) -> str:
        """Writes to Redis and reads it back."""
        body = {"model": "chat", "input": "hello", "store": True}
        async with self._api.http.post(f"{self._api.url}/v1/responses", json=body, headers=_HEADERS) as answer:
            made = await answer.json()
            if answer.status != 200:
                return f"{answer.status} {made}"
        return await self._ask("GET", f"/v1/responses/{made['id']}")

    async def _ask(self, method: str, path: str) -> str:
        async with self._api.http.request(method, f"{self._api.url}{path}", headers=_HEADERS) as answer:
            text = await answer.text()
            return "" if answer.status == 200 else f"{path} {answer.status} {text[:200]}"

    async def _repeat(self, work: Callable[[], Awaitable[str]]) -> None:
        while not self._stopped:
            failure = await work()
            self.done += 1
            if failure:
                self.failures.append(failure)
            await asyncio.sleep(0.005)


_HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("first", ["servers", "service"])
async def test_no_request_fails(
    serve: Serve, postgres: Container, queue: Container, tmp_path: Path, first: str
) -> None:
    files = Files(tmp_path, postgres, queue)
    assert await asyncio.to_thread(migrate, files["owner"]) == 0
    keys = _folder(tmp_path, "keys")
    (keys / "me").write_text(KEY)

    async def in_servers() -> None:
        mount(postgres, SECOND, "_xyz")
        queue.set_password(SECOND)
        for server in (postgres, queue):
            assert await asyncio.to_thread(server.probe, "readinessProbe") == 0

    async def in_service() -> None:
        files.write(SECOND, "_xyz")

    async with (
        Upstream().running() as upstream,
        serve(
            config(
                upstream.url,
                auth=AuthConfig(api_keys_dir=keys),
                database=DatabaseConfig(url_file=files["postgres"], pool_max=50),
                redis=RedisConfig(url_file=files["redis"]),
            )
        ) as api,
    ):
        async with Traffic(api).running() as traffic:
            traffic.add(traffic.usage, traffic.stored)
            await traffic.more(100)
            for step in (in_servers, in_service) if first == "servers" else (in_service, in_servers):
                await step()
                # More at a time than there are connections: new ones are opened.
                traffic.add(*[traffic.usage] * 5)
                await traffic.more(300)
            for _ in range(_MOST_TASKS):
                if "aiapp_api_xyz" in await asyncio.to_thread(_logins, postgres):
                    break
                # It has connections enough as yet.
                traffic.add(traffic.usage)
                await traffic.more(50)
            assert "aiapp_api_xyz" in _logins(postgres)
            # What happens by itself a quarter of an hour later.
            with connect(postgres, f"{SECOND}-super", "postgres", options="") as root:
                root.execute("ALTER ROLE aiapp_api VALID UNTIL '2020-01-01'")
            with redis.Redis(port=int(queue.environment["REDIS_PORT"]), password=SECOND) as admin:
                admin.acl_setuser("default", enabled=True, passwords=[f"-{FIRST}"])
            traffic.add(*[traffic.usage] * 5)
            await traffic.more(300)
        assert traffic.failures == []
        with connect(postgres, f"{SECOND}-super", "postgres", options="") as root:
            root.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'aiapp%'")
        with redis.Redis(port=int(queue.environment["REDIS_PORT"]), password=SECOND) as admin:
            admin.client_kill_filter(_type="normal", skipme=True)

        async def well() -> bool:
            return not await traffic.usage() and not await traffic.stored()

        await until("the new passwords alone", well, PATIENCE_SECONDS)


def _logins(postgres: Container) -> set[str]:
    with connect(postgres, f"{SECOND}-super", "postgres", options="") as root:
        return {name for (name,) in root.execute("SELECT usename FROM pg_stat_activity").fetchall()}
