"""PostgreSQL for requests."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from aiapp_service.config import DatabaseConfig
from aiapp_service.db.rotation import OPTIONS, Rotating
from aiapp_service.stores.breaker import Breaker
from aiapp_service.stores.url_file import UrlFile

T = TypeVar("T")

DEADLINE_SECONDS = 0.25


class Database:
    """A pool of connections for all requests of a process; opened with the first call."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._config = config
        self._pool: AsyncConnectionPool[Rotating] | None = None
        self._urls = UrlFile(config.url_file)
        failures = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed)
        self._breaker = Breaker("PostgreSQL", DEADLINE_SECONDS, failures)

    @property
    def down(self) -> bool:
        """Whether the last call failed."""
        return self._breaker.down

    async def run(self, work: Callable[[psycopg.AsyncConnection], Awaitable[T]], deadline: float | None = None) -> T:
        """The result of `work` in a transaction of its own, within 250 ms or `deadline` seconds.

        Raises:
            StoreDown: PostgreSQL does not answer.
            psycopg.Error: it does, and refuses: that is a mistake of ours, or a schema that is not there.
        """
        self._breaker.require()
        return await self._breaker.run(self._worked(work), deadline)

    async def _worked(self, work: Callable[[psycopg.AsyncConnection], Awaitable[T]]) -> T:
        if self._pool is None:
            # The URL is read for each new connection: a password that was rotated is taken in.
            self._pool = AsyncConnectionPool(
                connection_class=Rotating,
                min_size=0,
                max_size=self._config.pool_max,
                kwargs={**OPTIONS, "urls": self._urls},
                open=False,
            )
            await self._pool.open()
        async with self._pool.connection() as connection:
            return await work(connection)

    async def close(self) -> None:
        """Give up the connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()
