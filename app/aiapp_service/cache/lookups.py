"""Look-ups in Redis, many in one command: what comes while one command is under way goes with the next one.

A single look-up goes at once. In a crowd each costs a fraction of a command of its own, of which the processor of
this side, not Redis, would be the bottleneck.
"""

import asyncio

from aiapp_service.stores.redis import FastRedis

# An answer may have up to a megabyte.
MOST_AT_ONCE = 32

_Waiting = tuple[bytes, asyncio.Future[bytes | None]]


class Lookups:
    """Gets values as bytes."""

    def __init__(self, redis: FastRedis) -> None:
        self._redis = redis
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: bytes) -> bytes | None:
        """The value of `key`.

        Raises:
            StoreDown: Redis does not answer.
        """
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._look_up([entry for entry in together if not entry[1].done()])
        finally:
            self._task = None

    async def _look_up(self, together: list[_Waiting]) -> None:
        if not together:
            return
        keys = [key for key, _ in together]
        try:
            values = await self._redis.ask("MGET", *keys)
        except Exception as error:  # noqa: BLE001  # whoever waits for a value decides about it
            for _, future in together:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), value in zip(together, values, strict=True):
            if not future.done():
                future.set_result(value)
