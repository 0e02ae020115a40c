"""Cached answers go to the Redis that is named for them; limits and jobs stay on the other."""

from redis import Redis

from aiapp_service.config import RedisConfig
from tests.integration.servers.redis import redis_server
from tests.integration.service.cache.asking import ask, exact
from tests.integration.service.conftest import Serve
from tests.integration.service.upstream import Upstream
from tests.integration.service.waiting import until


async def test_answers_are_kept_there_and_nowhere_else(serve: Serve, redis, tmp_path) -> None:
    upstream = Upstream()
    with redis_server(tmp_path / "cache-server") as cache:
        file = tmp_path / "cache-url"
        file.write_text(cache.url, encoding="utf-8")
        own = {"cache_redis": RedisConfig(url_file=file)}
        async with upstream.running(), serve(exact(upstream.url, redis, tmp_path).model_copy(update=own)) as api:
            assert (await ask(api)).cache == "miss"
            with Redis.from_url(cache.url) as there, Redis.from_url(redis.url) as here:
                await until("the answer is kept", lambda: there.dbsize() > 0)
                assert (await ask(api)).cache == "exact"
                kept = set(there.keys())
                assert kept.isdisjoint(here.keys())
        assert len(upstream.bodies) == 1
