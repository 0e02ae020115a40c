"""Whether the database answers."""

import psycopg

from aiapp_service.config import DatabaseConfig
from aiapp_service.db.rotation import OPTIONS, Rotating
from aiapp_service.stores.url_file import UrlFile


class DatabaseProbe:
    """Keeps one connection; opens another one when that breaks, with the URL as it then is."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._urls = UrlFile(config.url_file)
        self._connection: psycopg.AsyncConnection | None = None

    async def check(self) -> None:
        """Ask it something.

        Raises:
            psycopg.Error, WrongUrl, OSError: it does not answer.
        """
        connection = await self._connected()
        try:
            await connection.execute("SELECT 1")
        except BaseException:
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
            self._connection = await Rotating.connect(urls=self._urls, autocommit=True, **OPTIONS)
        return self._connection
