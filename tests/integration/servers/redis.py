"""A Redis of the distribution, with a password and an append-only file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.integration.servers.processes import Server, folder_for, free_port, running

USER = "nobody"
PASSWORD = "pa55-word-of-redis"


@dataclass(frozen=True)
class RedisServer:
    """A running server."""

    server: Server
    port: int

    @property
    def url(self) -> str:
        """As an application gets it."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        """Empty it."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Run one while the context lasts."""
    home = folder_for(USER, folder)
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise RuntimeError("Redis is needed: apt-get install redis-server, or run `make test-integration`")
    port = free_port()
    options = {"port": port, "bind": "127.0.0.1", "dir": home, "requirepass": PASSWORD, "appendonly": "yes", "save": ""}
    command = [program, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"

    def answers() -> bool:
        try:
            with redis.Redis.from_url(url, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    with running(Server(command, USER, home / "redis.log", answers)) as server:
        yield RedisServer(server, port)
