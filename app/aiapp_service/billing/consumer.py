"""Redis stream -> table `usage`: each row once, whoever is killed in between.

Entries are read with a consumer group, committed with ON CONFLICT DO NOTHING, then acknowledged and deleted. What a
process has read and not committed is taken over by the next one. While PostgreSQL is down one batch waits here, and
everything else in Redis.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from redis.exceptions import RedisError, ResponseError

from aiapp_service.billing.cancellation import heed_cancellation
from aiapp_service.billing.row import UsageRow
from aiapp_service.billing.stream import GROUP, REASON, ROW, dead_key_of, key_of
from aiapp_service.billing.writer import write
from aiapp_service.config import RedisConfig
from aiapp_service.jobs.redis import connect
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

log = logging.getLogger(__name__)

BATCH = 500
BLOCK_MILLISECONDS = 1_000
# Longer than a commit takes; taking over what is not abandoned does no harm.
ABANDONED_MILLISECONDS = 5_000
RETRY_SECONDS = 1.0
# Dead entries that are kept for whoever looks into it.
MOST_DEAD = 10_000

# As bytes: an entry that is no text is wrong by itself, and must not get in the way of others.
Entry = tuple[bytes, Mapping[bytes, bytes]]


class LedgerConsumer:
    """Writes the rows that wait in Redis. Any number of processes may do so at once."""

    def __init__(self, redis: RedisConfig, database: Database, app: str) -> None:
        self._redis = redis
        self._database = database
        self._key = key_of(app)
        self._dead_key = dead_key_of(app)
        self._told = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with connect(self._redis) as client:
                    await self._consume(client)
            except Exception:  # whatever it is, the ledger goes on
                # The next try is with a new client. Until it goes well the rows wait.
                log.exception("the ledger is not written")
            await asyncio.sleep(RETRY_SECONDS)

    async def _consume(self, client: Redis) -> None:
        grouped = False
        while True:
            heed_cancellation()
            try:
                if not grouped:
                    await self._make_group(client)
                    grouped = True
                await self.step(client)
                self._told = False
            except (RedisError, OSError, TimeoutError, StoreDown) as error:
                # A Redis that has lost its data has lost the group, too.
                grouped = grouped and not str(error).startswith("NOGROUP")
                self._tell(error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _make_group(self, client: Redis) -> None:
        try:
            await client.xgroup_create(self._key, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def step(self, client: Redis) -> None:
        """Write one batch, or wait a second for entries.

        Raises:
            RedisError, OSError, TimeoutError, StoreDown: what has been read and not written is taken up again later.
        """
        entries = await self._abandoned(client) or await self._new(client)
        if entries:
            await self._settle(client, entries, await self._written(entries))

    async def _abandoned(self, client: Redis) -> Sequence[Entry]:
        command = ("XAUTOCLAIM", self._key, GROUP, GROUP, ABANDONED_MILLISECONDS, "0-0", "COUNT", BATCH)
        found = await _raw(client, *command)
        return [(entry, fields) for entry, fields in found[1] if fields]

    async def _new(self, client: Redis) -> Sequence[Entry]:
        options = ("COUNT", BATCH, "BLOCK", BLOCK_MILLISECONDS)
        command = ("XREADGROUP", "GROUP", GROUP, GROUP, *options, "STREAMS", self._key, ">")
        found = await _raw(client, *command) or []
        # By stream, as a list or a dict: versions of the library differ.
        streams = found.values() if isinstance(found, dict) else [entries for _, entries in found]
        return [entry for entries in streams for entry in entries]

    async def _written(self, entries: Sequence[Entry]) -> dict[bytes, str]:
        """Commit; gives why an entry can never be written, by its id. Waits as long as PostgreSQL is down."""
        rows: dict[bytes, UsageRow] = {}
        dead: dict[bytes, str] = {}
        for entry, fields in entries:
            try:
                rows[entry] = UsageRow.model_validate_json(fields.get(ROW.encode(), b""))
            except ValidationError as error:
                dead[entry] = _why(error)
        while rows:
            heed_cancellation()
            try:
                refused = await write(self._database, list(rows.values()))
            except StoreDown as error:
                self._tell(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                dead |= {e: refused[row.request_id] for e, row in rows.items() if row.request_id in refused}
                break
        return dead

    async def _settle(self, client: Redis, entries: Sequence[Entry], dead: Mapping[bytes, str]) -> None:
        """Take entries out of the stream: they are written, or never will be."""
        async with client.pipeline(transaction=True) as pipeline:
            for entry, fields in entries:
                if entry in dead:
                    kept: Any = {**fields, REASON: dead[entry]}
                    pipeline.xadd(self._dead_key, kept, maxlen=MOST_DEAD, approximate=True)
            ids = [entry for entry, _ in entries]
            pipeline.xack(self._key, GROUP, *ids)
            pipeline.xdel(self._key, *ids)
            await pipeline.execute()
        for entry, reason in dead.items():
            log.error(
                "entry of the ledger put aside",
                extra={"entry": entry.decode(), "stream": self._dead_key, "why": reason},
            )

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            text = str(error) if isinstance(error, StoreDown) else type(error).__name__
            log.warning("rows of the ledger wait", extra={"error": text})


async def _raw(client: Any, *command: str | int) -> Any:
    return await client.execute_command(*command, **{NEVER_DECODE: True})


def _why(error: ValidationError) -> str:
    """Which field is wrong how, without its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'row'}: {first['msg']}"
