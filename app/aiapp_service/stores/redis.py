"""Redis for requests."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aiapp_service.config import RedisConfig
from aiapp_service.jobs.redis import connect
from aiapp_service.stores.breaker import Breaker
from aiapp_service.stores.line import Line, Word

T = TypeVar("T")

DEADLINE_SECONDS = 0.1
# Redis answers one command at a time anyway. More connections take longer to open than their commands take to wait,
# and beyond a hundred the client refuses, which would look as if Redis were down.
MOST_AT_ONCE = 32


class FastRedis:
    """One client for all requests of a process; opened with the first call."""

    def __init__(self, config: RedisConfig) -> None:
        self._config = config
        self._client: Redis | None = None
        self._line: Line | None = None
        self._connecting = asyncio.Lock()
        self._turn = asyncio.Semaphore(MOST_AT_ONCE)
        self._breaker = Breaker("Redis", DEADLINE_SECONDS, (RedisConnectionError, RedisTimeoutError, ReadOnlyError))

    @property
    def down(self) -> bool:
        """Whether the last call failed."""
        return self._breaker.down

    async def run(self, call: Callable[[Redis], Awaitable[T]], deadline: float | None = None) -> T:
        """The result of `call`, given the client, within 100 ms or `deadline` seconds.

        Raises:
            StoreDown: Redis does not answer.
            redis.ResponseError: it does, and refuses the command: that is a mistake of ours.
        """
        self._breaker.require()
        return await self._breaker.run(self._called(call), deadline)

    async def ask(self, *command: Word, deadline: float | None = None) -> Any:
        """The answer to one command, with texts as bytes, within 100 ms or `deadline` seconds.

        For what requests wait for: it takes a fraction of the time that `run` takes, and no connection from others.

        Raises:
            StoreDown: Redis does not answer.
            redis.ResponseError: it does, and refuses the command: that is a mistake of ours.
        """
        self._breaker.require()
        line = self._line
        if line is None or not line.is_open:
            line = await self._breaker.run(self._connected(), deadline)
        return await self._breaker.heed(line.ask(deadline or DEADLINE_SECONDS, *command), sent=True)

    async def _connected(self) -> Line:
        async with self._connecting:
            if self._line is None or not self._line.is_open:
                lost, self._line = self._line, None
                if lost is not None:
                    await lost.close()
                if self._client is None:
                    self._client = connect(self._config)
                self._line = await Line.open(self._client.connection_pool)
            return self._line

    async def _called(self, call: Callable[[Redis], Awaitable[T]]) -> T:
        if self._client is None:
            self._client = connect(self._config)
        async with self._turn:
            return await call(self._client)

    async def close(self) -> None:
        """Give up the connections."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
