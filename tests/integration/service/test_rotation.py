"""Passwords change on the server and in the file at different moments: no call fails in between."""

import asyncio

import psycopg
import pytest
from redis import Redis

from aiapp_service.config import DatabaseConfig, RedisConfig
from aiapp_service.db.pool import DatabaseProbe
from aiapp_service.jobs.redis import connect
from aiapp_service.stores import postgres as postgres_store
from aiapp_service.stores.postgres import Database
from tests.integration.servers.postgres import USER, Postgres
from tests.integration.servers.redis import PASSWORD, RedisServer


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_store, "DEADLINE_SECONDS", 10.0)


async def one(connection: psycopg.AsyncConnection) -> object:
    return await (await connection.execute("SELECT session_user")).fetchone()


async def at_once(database: Database, count: int) -> set[object]:
    """Over so many connections: each is held until all are there."""
    together = asyncio.Barrier(count)

    async def held(connection: psycopg.AsyncConnection) -> object:
        await together.wait()
        return await one(connection)

    return set(await asyncio.gather(*(database.run(held) for _ in range(count))))


async def test_a_database_is_reached_whatever_changes_first(postgres_server: Postgres, tmp_path) -> None:
    url = postgres_server.new_database("rotation")
    file = tmp_path / "url"
    file.write_text(url, encoding="utf-8")
    database, probe = Database(DatabaseConfig(url_file=file, pool_max=20)), DatabaseProbe(DatabaseConfig(url_file=file))
    admin = f"postgresql://{USER}@/postgres?host={postgres_server.socket}&port={postgres_server.port}"
    try:
        assert await database.run(one) == ("aiapp",)
        await probe.check()
        new = url.replace("aiapp:", "aiapp_2:", 1)
        file.write_text(new, encoding="utf-8")  # the server does not know it yet
        assert await at_once(database, 5) == {("aiapp",)}
        file.unlink()
        assert await at_once(database, 8) == {("aiapp",)}
        await probe.close()
        with psycopg.connect(admin, autocommit=True) as root:
            root.execute("DROP ROLE IF EXISTS aiapp_2")
            root.execute(f"CREATE ROLE aiapp_2 LOGIN PASSWORD '{url.split(':')[2].split('@')[0]}' IN ROLE aiapp")
        file.write_text(new, encoding="utf-8")
        assert ("aiapp_2",) in await at_once(database, 12)
        await probe.check()
    finally:
        await probe.close()
        await database.close()


async def test_redis_is_reached_whatever_changes_first(redis: RedisServer, tmp_path) -> None:
    file = tmp_path / "url"
    file.write_text(redis.url, encoding="utf-8")
    client = connect(RedisConfig(url_file=file))
    pool = client.connection_pool
    try:
        assert await client.ping()
        file.write_text(redis.url.replace(PASSWORD, "another-word"), encoding="utf-8")
        await pool.disconnect()
        assert await client.ping(), "the server does not know the new one yet"
        file.unlink()
        await pool.disconnect()
        assert await client.ping()
        with Redis.from_url(redis.url) as admin:
            admin.acl_setuser("default", enabled=True, passwords=["-" + PASSWORD, "+another-word"])
        file.write_text(redis.url.replace(PASSWORD, "another-word"), encoding="utf-8")
        await pool.disconnect()
        assert await client.ping()
        await pool.disconnect()
        assert await client.ping()
    finally:
        await client.aclose()
