"""The scripts of the job library over one line: what is done for each job takes half the time that way.

The client library gives each call a connection of its own, with locks, retries and statistics. What goes out in a
pipeline still goes by it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError

from aiapp_service.jobs.redis import SOCKET_SECONDS
from aiapp_service.stores.line import Line, Word

_TRIES = 3


class OneLine:
    """A line by connections of `client`, opened when it is needed, and again when it was lost. Ends with the client."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._line: Line | None = None
        self._opening = asyncio.Lock()

    async def ask(self, *command: Word) -> Any:
        """The answer, with texts as such. A command whose answer was lost is sent again, as the client would.

        Raises:
            redis.RedisError, OSError: Redis does not answer, or refuses.
        """
        for attempt in range(_TRIES):
            line = await self._opened()
            try:
                return _texts(await line.ask(SOCKET_SECONDS, *command))
            except (RedisConnectionError, ReadOnlyError) as error:
                if isinstance(error, ReadOnlyError):
                    # No longer the master: the next connection goes to the one that is.
                    await line.close()
                if attempt + 1 == _TRIES:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _opened(self) -> Line:
        line = self._line
        if line is not None and line.is_open:
            return line
        async with self._opening:
            if self._line is None or not self._line.is_open:
                lost, self._line = self._line, None
                if lost is not None:
                    await lost.close()
                self._line = await Line.open(self._client.connection_pool)
            return self._line


class LineScript:
    """In place of a script as the client registers it."""

    def __init__(self, script: AsyncScript, line: OneLine) -> None:
        self._script = script
        self._line = line

    async def __call__(self, keys: Sequence[str] = (), args: Iterable[Any] = (), client: Any = None) -> Any:
        """Run it; with `client`, a pipeline, as a part of that."""
        if client is not None:
            return await self._script(keys=keys, args=args, client=client)
        words = (len(keys), *keys, *args)
        try:
            return await self._line.ask("EVALSHA", self._script.sha, *words)
        except NoScriptError:
            return await self._line.ask("EVAL", str(self._script.script), *words)


def _texts(answer: Any) -> Any:
    if isinstance(answer, bytes):
        return answer.decode()
    return [_texts(part) for part in answer] if isinstance(answer, list) else answer
