"""Connections to Redis, with the password as the mounted file has it when they are opened."""

from pathlib import Path
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.credentials import CredentialProvider

from aiapp_service.config import RedisConfig

# Longer than the longest blocking read of the job library, which else never ends well.
SOCKET_SECONDS = 15.0
CONNECT_SECONDS = 2.0
_TRIES = 3


class _FileCredentials(CredentialProvider):
    """User and password out of the URL in a file, read for each new connection."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Password, or user and password."""
        fields = _parsed(self._file)
        password = str(fields.get("password") or "")
        user = fields.get("username")
        return (str(user), password) if user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same; reading a mounted file does not wait for anything."""
        return self.get_credentials()


def connect(config: RedisConfig) -> Redis:
    """A client; nothing is sent yet.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no URL of a Redis.
    """
    fields = _parsed(config.url_file)
    if fields.pop("password", None) is not None:
        fields["credential_provider"] = _FileCredentials(config.url_file)
    fields.pop("username", None)
    pool = ConnectionPool(
        **fields,
        decode_responses=True,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), _TRIES),
    )
    return Redis.from_pool(pool)


def _parsed(file: Path) -> dict[str, Any]:
    return dict(parse_url(file.read_text(encoding="utf-8").strip()))


class RedisProbe:
    """Whether Redis answers."""

    def __init__(self, config: RedisConfig) -> None:
        self._config = config
        self._client: Redis | None = None

    async def check(self) -> None:
        """Ask it something.

        Raises:
            redis.RedisError, OSError, ValueError: it does not answer.
        """
        if self._client is None:
            self._client = connect(self._config)
        await self._client.ping()

    async def close(self) -> None:
        """Give up the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
