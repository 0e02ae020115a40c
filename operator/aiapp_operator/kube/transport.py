"""How bytes get to the API server and back: the one seam that a simulated API server replaces."""

import dataclasses
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import kopf

from aiapp_operator.kube.api_errors import Unauthorized, Unavailable, from_response

USER_AGENT = "aiapp-operator"
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
# Bookmarks come about once a minute; a watch that is silent for longer than this is dead.
WATCH_SILENCE_SECONDS = 150.0
_LINE_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Response:
    """A response that was read to its end."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Transport(Protocol):
    """Requests to one API server."""

    async def request(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        """Send and read to the end. Raises Unavailable when there is no response at all."""

    def lines(self, path: str, params: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The lines of a response that goes on: a watch. Raises ApiError for a refusal, Unavailable for silence."""

    async def close(self) -> None:
        """Give up all connections."""


Login = Callable[[], kopf.ConnectionInfo]


class HttpTransport:
    """Requests through aiohttp, with credentials from `login`, which is asked again after a 401."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._info: kopf.ConnectionInfo | None = None
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        """Send and read to the end; credentials that are refused are read again once: tokens are renewed on disk."""
        used, response = await self._send(method, path, params, headers, body)
        if response.status == 401 and await self._renew(used):
            _, response = await self._send(method, path, params, headers, body)
        return response

    async def _send(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> tuple[kopf.ConnectionInfo, Response]:
        info, session = self._connected()
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        sent = {**info.as_http_headers(), **headers}
        try:
            async with session.request(
                method, _url(info, path), params=params, headers=sent, data=body, timeout=timeout
            ) as answer:
                content = await answer.read()
                return info, Response(answer.status, content, _lower(answer))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(0, type(error).__name__, "the API server does not answer") from error

    async def lines(self, path: str, params: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The lines of a watch until the server ends it."""
        info, session = self._connected()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=WATCH_SILENCE_SECONDS)
        try:
            async with session.get(
                _url(info, path), params=params, headers=info.as_http_headers(), timeout=timeout
            ) as answer:
                if answer.status >= 400:
                    if answer.status == 401:
                        await self._renew(info)
                    raise from_response(answer.status, _lower(answer), await answer.read())
                async for line in answer.content:
                    yield line
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(0, type(error).__name__, "the watch broke") from error

    async def close(self) -> None:
        """Close all connections; the next request logs in again."""
        session, self._session, self._info = self._session, None, None
        if session is not None:
            await session.close()

    async def _renew(self, used: kopf.ConnectionInfo) -> bool:
        """Log in again unless that has happened since `used`; False when the credentials are the same as before."""
        if self._info is not used:
            return True
        fresh = self._logged_in()
        if fresh == used:
            return False
        if _without_token(fresh) != _without_token(used):
            # Other certificates need other connections; requests that are under way are repeated by their callers.
            await self.close()
        self._info = fresh
        return True

    def _connected(self) -> tuple[kopf.ConnectionInfo, aiohttp.ClientSession]:
        if self._info is None:
            self._info = self._logged_in()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls_context(self._info), limit=0, keepalive_timeout=60),
                headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
                trust_env=False,
                read_bufsize=_LINE_LIMIT,
            )
        return self._info, self._session

    def _logged_in(self) -> kopf.ConnectionInfo:
        try:
            return self._login()
        except kopf.LoginError as error:
            raise Unauthorized(401, "LoginError", str(error)) from error


def _url(info: kopf.ConnectionInfo, path: str) -> str:
    return info.server.rstrip("/") + path


def _lower(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _without_token(info: kopf.ConnectionInfo) -> kopf.ConnectionInfo:
    return dataclasses.replace(info, token=None, expiration=None)


def tls_context(info: kopf.ConnectionInfo) -> ssl.SSLContext | bool:
    """The TLS context for these credentials; plain HTTP needs none."""
    return info.as_ssl_context() if info.server.startswith("https:") else False
