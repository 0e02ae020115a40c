"""One Redis for all tests of the cache, empty for each; whoever stops it starts it again."""

from collections.abc import Iterator

import pytest
from redis import Redis

from aiapp_service.cache import embedder
from aiapp_service.stores import postgres as postgres_store
from aiapp_service.stores import redis as redis_store
from tests.integration.servers.redis import RedisServer, redis_server


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the tests may be busy: a store that is up shall not look as if it were down."""
    for module in (redis_store, postgres_store, embedder):
        monkeypatch.setattr(module, "DEADLINE_SECONDS", 5.0)


@pytest.fixture(scope="package")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis") / "home") as server:
        yield server


@pytest.fixture
def redis(one_redis: RedisServer) -> RedisServer:
    with Redis.from_url(one_redis.url) as client:
        client.config_set("maxmemory", 0)
        client.flushall()
    return one_redis
