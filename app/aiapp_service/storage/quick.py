"""Small objects, read by addresses that the client library signs: its own way to them takes four times as long."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from aiapp_service.storage.client import CONNECT_SECONDS, MOST_CONNECTIONS, READ_SECONDS

# An address is used at once.
SIGNED_SECONDS = 60
# Whatever is in its way, a proxy or certificates of its own, it is not tried again for so long.
_REST_SECONDS = 60.0


class QuickReader:
    """Reads what can be read this way, and leaves everything else, and all that goes wrong, to the library."""

    def __init__(self, signed: Callable[[str, int], Awaitable[str]]) -> None:
        self._signed = signed
        self._session: aiohttp.ClientSession | None = None
        self._rests_until = 0.0

    async def read(self, key: str, most_bytes: int) -> bytes | None:
        """A whole object; None: ask the library, which also knows what is wrong."""
        if asyncio.get_running_loop().time() < self._rests_until:
            return None
        url = await self._signed(key, SIGNED_SECONDS)
        try:
            async with self._opened().get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    if answer.status != 404:
                        self._rest()
                    return None
                found = bytearray()
                async for chunk in answer.content.iter_any():
                    found += chunk
                    if len(found) > most_bytes:
                        return None
                return bytes(found)
        except (aiohttp.ClientError, OSError):
            self._rest()
            return None

    def _rest(self) -> None:
        self._rests_until = asyncio.get_running_loop().time() + _REST_SECONDS

    async def close(self) -> None:
        """Give up the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
                auto_decompress=False,
                # As the library does.
                trust_env=True,
            )
        return self._session
