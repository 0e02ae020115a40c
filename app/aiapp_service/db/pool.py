"""Whether the database answers, and how much of it is taken."""

from typing import Any

import psycopg

from aiapp_service.config import DatabaseConfig
from aiapp_service.db.load import Load
from aiapp_service.db.rotation import OPTIONS, Rotating
from aiapp_service.stores.breaker import StoreRefused
from aiapp_service.stores.url_file import UrlFile

# 53300 too_many_connections; the driver has no code for what is said before a login is complete.
_TAKEN = ("too many clients", "remaining connection slots", "too many connections", "no more connections")


class DatabaseProbe:
    """Keeps one connection; opens another one when that breaks, with the URL as it then is."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._urls = UrlFile(config.url_file)
        self._connection: psycopg.AsyncConnection | None = None
        self._load = Load()

    async def check(self) -> dict[str, Any]:
        """Ask it something; gives how much of it is taken.

        Raises:
            StoreRefused: all of its connections are in use.
            psycopg.Error, WrongUrl, OSError: it does not answer.
        """
        connection = await self._connected()
        try:
            await connection.execute("SELECT 1")
            await self._load.look(connection)
            return self._load.document()
        except BaseException:  # raised again
            # Also when the deadline passed in between: a connection with half an answer is of no use.
            await self.close()
            raise

    async def close(self) -> None:
        """Give up the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            try:
                self._connection = await Rotating.connect(urls=self._urls, autocommit=True, **OPTIONS)
            except psycopg.OperationalError as error:
                if any(words in str(error) for words in _TAKEN):
                    raise StoreRefused("all of its connections are in use") from error
                raise
        return self._connection
