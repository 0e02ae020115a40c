"""Whether the database answers."""

import psycopg

from aiapp_service.config import DatabaseConfig
from aiapp_service.db.connect import CONNECT_SECONDS, connection_string, read_url


class DatabaseProbe:
    """Keeps one connection; opens another one when that breaks, with the URL as it then is."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._file = config.url_file
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
            conninfo = connection_string(read_url(self._file))
            self._connection = await psycopg.AsyncConnection.connect(
                conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS
            )
        return self._connection
