"""Answers to the very same request, in Redis.

Redis also holds queues, limits and the ledger, and evicts nothing: answers are only written while there is room.
"""

import asyncio

from redis.exceptions import ResponseError

from aiapp_service.cache.lookups import Lookups
from aiapp_service.cache.stored import Stored
from aiapp_service.stores.redis import FastRedis

# Of the memory that Redis may use; beyond it nothing is added until answers have run out.
MOST_OF_MEMORY = 0.6
_LOOK_SECONDS = 5.0
_PREFIX = b"aiapp:answer:"
# From here on another thread compresses.
_LARGE_BYTES = 64 * 1024


class ExactCache:
    """Keeps each answer for `ttl` seconds."""

    def __init__(self, redis: FastRedis, ttl: float) -> None:
        self._redis = redis
        self._lookups = Lookups(redis)
        self._milliseconds = max(1, round(1000 * ttl))
        self._looked_at = float("-inf")
        self._room = True

    async def get(self, key: bytes) -> Stored | None:
        """What is kept for `key`.

        Raises:
            StoreDown: Redis does not answer.
        """
        found = await self._lookups.get(_PREFIX + key)
        return None if found is None else Stored.unpacked(found)

    async def put(self, key: bytes, stored: Stored) -> None:
        """Keep it, where there is room.

        Raises:
            StoreDown: Redis does not answer.
        """
        if not await self._has_room():
            return
        large = len(stored.body) > _LARGE_BYTES
        packed = await asyncio.to_thread(stored.packed) if large else stored.packed()
        await self._redis.run(lambda client: client.set(_PREFIX + key, packed, px=self._milliseconds))

    async def _has_room(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            try:
                memory = await self._redis.run(lambda client: client.info("memory"))
            except ResponseError:
                # Not every Redis tells it to everybody; then its owner has to see to it.
                self._room = True
            else:
                most = int(memory.get("maxmemory") or 0)
                self._room = not most or int(memory["used_memory"]) < MOST_OF_MEMORY * most
        return self._room
