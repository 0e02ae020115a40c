"""Connections to PostgreSQL that are opened while passwords are rotated, or while the primary moves."""

from typing import Any, Self

import psycopg

from aiapp_service.db.connect import CONNECT_SECONDS, connection_string, parsed
from aiapp_service.stores.url_file import UrlFile

# A server that went without a word is noticed within this time: its node is gone, its pod was killed.
SILENT_SECONDS = 5
OPTIONS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": SILENT_SECONDS,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": SILENT_SECONDS * 1000,
}
_REFUSALS = ("authentication failed", "does not exist", "not permitted to log in")


def refused(error: psycopg.OperationalError) -> bool:
    """Whether the server does not take this user and password."""
    text = str(error)
    return "FATAL:" in text and any(words in text for words in _REFUSALS)


class Rotating(psycopg.AsyncConnection[Any]):
    """A connection by the newest URL that its file and the server agree on."""

    @classmethod
    async def connect(  # type: ignore[override]  # what psycopg names one by one goes through as it is
        cls, conninfo: str = "", *, urls: UrlFile | None = None, **kwargs: Any
    ) -> Self:
        """Open one by a URL of `urls`; `conninfo` is not looked at then.

        Raises:
            psycopg.OperationalError: there is no answer, or all of them are refused.
            WrongUrl, OSError: the file holds no URL of a PostgreSQL database.
        """
        if urls is None:
            return await super().connect(conninfo, **kwargs)
        candidates = urls.candidates()
        for url in candidates[:-1]:
            try:
                connection = await super().connect(connection_string(parsed(url)), **kwargs)
            except psycopg.OperationalError as error:
                if not refused(error):
                    raise
            else:
                urls.worked(url)
                return connection
        connection = await super().connect(connection_string(parsed(candidates[-1])), **kwargs)
        urls.worked(candidates[-1])
        return connection
