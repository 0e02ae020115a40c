"""What has to reach Redis though no request waits for it: settled limits, rows of the ledger.

Commands are gathered for a few milliseconds and sent in one pipeline. While Redis is down they are kept, and sent
later. A pipeline whose answer got lost is sent again: every command has to be one that may run twice.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.redis import FastRedis

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.005
RETRY_SECONDS = 0.25
DEADLINE_SECONDS = 2.0
CLOSE_SECONDS = 3.0
BATCH = 500
# A request has about 600 bytes to send: this is two minutes without Redis at a thousand requests a second.
MOST_BYTES = 64 * 1024 * 1024
_BYTES_OF_A_COMMAND = 200
_SAY_EACH_SECONDS = 60.0
# Answers that say that Redis is not well, not that the command is wrong.
_NOT_WELL = (RedisConnectionError, ReadOnlyError, OutOfMemoryError)
_NOT_WELL_WORDS = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN")

Command = tuple[str | bytes | int | float, ...]


class Outbox:
    """One for a process. Sends nothing before `start`."""

    def __init__(self, redis: FastRedis, most_bytes: int = MOST_BYTES) -> None:
        self._redis = redis
        self._most_bytes = most_bytes
        self._bytes = 0  # of what waits
        self._waiting: deque[Command] = deque()
        self._sending: list[Command] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._dropped = 0
        self._said_at = float("-inf")

    def __len__(self) -> int:
        """How many commands are not known to have arrived."""
        return len(self._waiting) + len(self._sending)

    def put(self, commands: Iterable[Command]) -> None:
        """Send these soon, in this order. Never waits; what is too much while Redis is down drops the oldest."""
        for command in commands:
            self._waiting.append(command)
            self._bytes += _size(command)
        while self._bytes > self._most_bytes:
            self._bytes -= _size(self._waiting.popleft())
            self._dropped += 1
        self._wake.set()

    def start(self) -> None:
        """Begin to send, in the background."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Send what is left, for at most three seconds."""
        self._closing = True
        self._wake.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=CLOSE_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if len(self):
            log.error("not sent to Redis, and lost", extra={"commands": len(self)})

    async def _run(self) -> None:
        while await self._has_something():
            try:
                await self._send()
            except StoreDown as error:
                self._say(error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # those after them are not held up by what Redis will never take
                log.exception("commands for Redis are wrong, and lost", extra={"commands": len(self._sending)})
                self._sending = []

    async def _has_something(self) -> bool:
        """Wait for commands; False: nothing comes any more."""
        while not len(self) and not self._closing:
            self._wake.clear()
            await self._wake.wait()
        if len(self) < BATCH and not self._closing:
            await asyncio.sleep(GATHER_SECONDS)
        return bool(len(self))

    async def _send(self) -> None:
        """Send one batch.

        Raises:
            StoreDown: what was not taken is still there.
        """
        while self._waiting and len(self._sending) < BATCH:
            command = self._waiting.popleft()
            self._bytes -= _size(command)
            self._sending.append(command)
        self._sending = await self._sent(self._sending)
        if self._sending:
            raise StoreDown("Redis takes no writes")

    async def _sent(self, commands: list[Command]) -> list[Command]:
        """Those of `commands` that have to be sent again."""

        async def send(client: Redis) -> list[object]:
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute(raise_on_error=False))

        answers = await self._redis.run(send, DEADLINE_SECONDS)
        again = []
        for command, answer in zip(commands, answers, strict=True):
            if _not_well(answer):
                again.append(command)
            elif isinstance(answer, Exception):
                log.error("Redis refuses a command", extra={"command": str(command[0]), "error": str(answer)[:200]})
        return again

    def _say(self, error: StoreDown) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= _SAY_EACH_SECONDS:
            self._said_at = now
            kept = {"commands": len(self), "dropped": self._dropped, "error": str(error)}
            log.warning("kept until Redis takes it", extra=kept)


def _size(command: Command) -> int:
    """About how much memory it takes."""
    return _BYTES_OF_A_COMMAND + sum(len(word) for word in command if isinstance(word, (str, bytes)))


def _not_well(answer: object) -> bool:
    if isinstance(answer, _NOT_WELL):
        return True
    return isinstance(answer, ResponseError) and str(answer).startswith(_NOT_WELL_WORDS)
