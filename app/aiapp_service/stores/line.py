"""One connection to Redis for whatever many requests ask at the same time.

The client library gives each command a connection of its own for its time, with locks, retries and statistics, which
takes longer than all else that a request costs here. It connects and signs in; then commands go out as they come,
without waiting for the answers of those before them, and answers come in that order.
"""

import asyncio
from collections import deque
from typing import Any, Protocol

import hiredis
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

Word = str | int | float | bytes
# Within so many turns of the loop an answer that lies in the socket has gone all the way up to whoever waits.
_TURNS = 6


class _ParseError(Protocol):
    def __call__(self, response: str) -> Exception: ...


class Line(asyncio.Protocol):
    """Is opened once. When it is lost everybody who waits hears of it, and another one is needed."""

    def __init__(self, pool: ConnectionPool, connection: Any, parse_error: _ParseError) -> None:
        self._pool = pool
        self._connection = connection
        self._transport: asyncio.Transport | None = connection._writer.transport  # noqa: SLF001  # the library has no other way to it
        self._before = self._transport.get_protocol() if self._transport is not None else None
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=parse_error)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, pool: ConnectionPool) -> "Line":
        """A connection of `pool`, which stays taken until `close`.

        Raises:
            redis.RedisError, OSError: there is none to be had.
        """
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py does not type it
        line = cls(pool, connection, _parse_error(connection))
        assert line._transport is not None  # noqa: S101  # the pool gives connections that are open
        line._transport.set_protocol(line)
        return line

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, seconds: float, *command: Word) -> Any:
        """The answer, with texts as bytes.

        An answer that is here within `seconds` also counts where this process was too busy to look at it.

        Raises:
            redis.TimeoutError: none came; the line is lost, for nobody knows what comes of it.
            redis.ConnectionError: the line was lost meanwhile.
            redis.ResponseError: Redis refuses the command.
        """
        if self._transport is None:
            raise RedisConnectionError("the connection is lost")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(future)
        # Its types speak of one word; it takes any number.
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # see above
        timer = self._loop.call_later(seconds, self._late, future, _TURNS)
        try:
            answer = await future
        finally:
            timer.cancel()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Give the connection up."""
        self._lose(RedisConnectionError("the connection is closed"))
        await self._connection.disconnect(nowait=True)
        await self._pool.release(self._connection)

    def data_received(self, data: bytes) -> None:
        """Answers."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if isinstance(answer, hiredis.PushNotification):
                    continue
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        except (InvalidResponse, IndexError) as error:
            self._lose(RedisConnectionError(f"this is not Redis: {type(error).__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody who waits gets an answer. The library hears of it, too: it may wait for that."""
        if self._before is not None:
            self._before.connection_lost(exc)
        self._lose(RedisConnectionError(f"the connection is lost: {type(exc).__name__}"))

    def _late(self, future: asyncio.Future[Any], turns: int) -> None:
        if future.done():
            return
        if turns:
            self._loop.call_soon(self._late, future, turns - 1)
            return
        future.set_exception(RedisTimeoutError("no answer in time"))
        self._lose(RedisConnectionError("another answer did not come in time"))

    def _lose(self, error: Exception) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(error)


def _parse_error(connection: Any) -> _ParseError:
    """What makes the library's own exceptions of what Redis says."""
    parse: _ParseError = connection._parser.parse_error  # noqa: SLF001  # as above
    return parse
