"""Connections to Redis, with the password as the mounted file has it when they are opened."""

from typing import Any

from redis.asyncio import ConnectionPool, Redis, Sentinel
from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import ExponentialBackoff
from redis.credentials import UsernamePasswordCredentialProvider
from redis.exceptions import AuthenticationError, ResponseError

from aiapp_service.config import RedisConfig
from aiapp_service.stores.redis_url import NO_CLUSTER, Place, WrongRedisUrl, parsed
from aiapp_service.stores.url_file import UrlFile

# Longer than the longest blocking read of the job library, which else never ends well.
SOCKET_SECONDS = 15.0
CONNECT_SECONDS = 2.0
_TRIES = 3


def connect(config: RedisConfig) -> Redis:
    """A client; nothing is sent yet.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no URL of a Redis that this service can work with.
    """
    urls = UrlFile(config.url_file)
    place = parsed(urls.candidates()[0])
    options: dict[str, Any] = {
        "db": place.database,
        "decode_responses": True,
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(ExponentialBackoff(cap=1, base=0.05), _TRIES),
        "redis_connect_func": _Entrance(urls).enter,
    }
    if place.sentinels:
        return _by_sentinels(place, options)
    if place.tls:
        options |= {"connection_class": SSLConnection, **place.tls_options}
    if place.socket:
        options |= {"connection_class": UnixDomainSocketConnection, "path": place.socket}
    else:
        options |= {"host": place.host, "port": place.port}
    return Redis.from_pool(ConnectionPool(**options))


def _by_sentinels(place: Place, options: dict[str, Any]) -> Redis:
    """A client that asks the sentinels for the master with each new connection, and so follows it."""
    asking: dict[str, Any] = {"socket_timeout": CONNECT_SECONDS, "socket_connect_timeout": CONNECT_SECONDS}
    if place.tls:
        asking |= {"ssl": True, **place.tls_options}
    if place.sentinel_password:
        asking["password"] = place.sentinel_password
    sentinel = Sentinel(list(place.sentinels), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]  # redis-py's
    pool = _SentinelPool(  # type: ignore[no-untyped-call]  # redis-py's
        place.master, sentinel, ssl=place.tls, **place.tls_options, **options
    )
    return Redis.from_pool(pool)


class _SentinelPool(SentinelConnectionPool):
    """Closes the connections to the sentinels with its own."""

    async def aclose(self) -> None:
        """Give up all connections."""
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


class _Entrance:
    """What is said first on a connection: the password, of now or of before a rotation."""

    def __init__(self, urls: UrlFile) -> None:
        self._urls = urls
        self._is_single = False
        self._refused: set[AbstractConnection] = set()  # with the newest password, just now

    async def enter(self, connection: AbstractConnection) -> None:
        """Log in.

        Raises:
            redis.AuthenticationError: none of the passwords is taken.
            OSError, ValueError: the file holds no URL of a Redis, or that of a Redis Cluster.
        """
        await self._logged_in(connection)
        if not self._is_single:
            await _require_single(connection)
            self._is_single = True

    async def _logged_in(self, connection: AbstractConnection) -> None:
        candidates = self._urls.candidates()
        url = candidates[-1] if connection in self._refused else candidates[0]
        try:
            await _log_in(connection, url)
        except AuthenticationError:
            if url == candidates[-1]:
                raise
            # The client has hung up by now: this comes back here, with the other password.
            self._refused.add(connection)
            try:
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
            finally:
                self._refused.discard(connection)
            return
        self._urls.worked(url)


async def _log_in(connection: AbstractConnection, url: str) -> None:
    place = parsed(url)
    connection.credential_provider = (
        UsernamePasswordCredentialProvider(place.user, place.password) if place.password else None
    )
    await connection.on_connect()


async def _require_single(connection: AbstractConnection) -> None:
    await connection.send_command("INFO", "cluster")
    try:
        told = str(await connection.read_response())
    except ResponseError:
        return  # this user may not ask; a Redis Cluster will say so itself
    if "cluster_enabled:1" in told:
        raise WrongRedisUrl(NO_CLUSTER)


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
