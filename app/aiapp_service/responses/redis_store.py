"""Responses in Redis, for 30 days, shared by all replicas."""

import hashlib
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from aiapp_service.responses.store import MOST_RECORD_BYTES, Record
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.redis import FastRedis

TTL_SECONDS = 30 * 24 * 3600


class RedisResponses:
    """Records in Redis, shared by all replicas; one round trip for each call."""

    def __init__(self, app: str, redis: FastRedis) -> None:
        self._prefix = f"aiapp:{app}:response"
        self._redis = redis

    async def read(self, tenant: str, names: Sequence[str]) -> dict[str, Record]:
        """Those of the named responses that are there and the tenant's own."""
        keys = [self._key(tenant, name) for name in names]
        found = await self._redis.run(lambda client: client.mget(keys))
        return {name: Record.load(str(text)) for name, text in zip(names, found, strict=True) if text is not None}

    async def owners(self, tenant: str, items: Sequence[str]) -> list[str]:
        """Names of the responses that have items of these names, which backends gave them."""
        keys = [self._key(tenant, f"item:{item}") for item in items]
        found = await self._redis.run(lambda client: client.mget(keys))
        return [str(name) for name in found if name is not None]

    async def write(self, tenant: str, record: Record) -> bool:
        """Keep one for 30 days; False where it is too large."""
        text, name = record.dump(), record.response["id"]
        if len(text) > MOST_RECORD_BYTES:
            return False
        values = {self._key(tenant, name): text}
        values |= {self._key(tenant, f"item:{item}"): name for item in record.foreign_items}

        async def write(client: Redis) -> None:
            pipeline = client.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(key, value, ex=TTL_SECONDS)
            await pipeline.execute()

        try:
            await self._redis.run(write)
        except OutOfMemoryError as error:
            raise StoreDown("Redis is full") from error
        return True

    async def delete(self, tenant: str, name: str) -> bool:
        """Forget one; False where it was not there."""
        key = self._key(tenant, name)
        return bool(await self._redis.run(lambda client: client.delete(key)))

    def _key(self, tenant: str, name: str) -> str:
        return f"{self._prefix}:{hashlib.sha256(tenant.encode()).hexdigest()[:32]}:{name}"
