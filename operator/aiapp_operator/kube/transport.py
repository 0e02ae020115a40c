"""How bytes get to the API server and back: the one seam that a simulated API server replaces."""

import asyncio
import base64
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp
import kopf

from aiapp_operator.kube.api_errors import Unavailable, from_response

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
        self._session: aiohttp.ClientSession | None = None
        self._server = ""

    async def request(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        """Send and read to the end; credentials that are refused are read again once."""
        response = await self._send(method, path, params, headers, body)
        if response.status == 401:
            await self.close()
            response = await self._send(method, path, params, headers, body)
        return response

    async def _send(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        session = self._connected()
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        try:
            async with session.request(
                method, self._server + path, params=params, headers=headers, data=body, timeout=timeout
            ) as answer:
                content = await answer.read()
                return Response(answer.status, content, {k.lower(): v for k, v in answer.headers.items()})
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(0, type(error).__name__, "the API server does not answer") from error

    async def lines(self, path: str, params: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The lines of a watch until the server ends it."""
        session = self._connected()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=WATCH_SILENCE_SECONDS)
        try:
            async with session.get(self._server + path, params=params, timeout=timeout) as answer:
                if answer.status >= 400:
                    if answer.status == 401:
                        await self.close()
                    headers = {k.lower(): v for k, v in answer.headers.items()}
                    raise from_response(answer.status, headers, await answer.read())
                async for line in answer.content:
                    yield line
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(0, type(error).__name__, "the watch broke") from error

    async def close(self) -> None:
        """Close all connections; the next request logs in again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            info = self._login()
            self._server = info.server.rstrip("/")
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls_context(info), limit=0, keepalive_timeout=60),
                headers={"User-Agent": USER_AGENT, "Accept": "application/json", **info.as_http_headers()},
                trust_env=False,
                read_bufsize=_LINE_LIMIT,
                loop=asyncio.get_running_loop(),
            )
        return self._session


def tls_context(info: kopf.ConnectionInfo) -> ssl.SSLContext:
    """The TLS context for these credentials."""
    cafile = str(info.ca_path) if info.ca_path else None
    context = ssl.create_default_context(cafile=cafile, cadata=_text(info.ca_data))
    if info.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with contextlib.ExitStack() as stack:
        certificate = _file(stack, info.certificate_path, info.certificate_data)
        key = _file(stack, info.private_key_path, info.private_key_data)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    return context


def _text(data: str | bytes | None) -> str | None:
    decoded = data.decode() if isinstance(data, bytes) else data
    if decoded and "-----BEGIN" not in decoded:
        decoded = base64.b64decode(decoded).decode()
    return decoded or None


def _file(stack: contextlib.ExitStack, path: object, data: str | bytes | None) -> str | None:
    """A file with the PEM; data goes to a temporary one, since ssl reads certificates from files only."""
    if path:
        return str(path)
    text = _text(data)
    if text is None:
        return None
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    file = Path(folder) / "pem"
    file.touch(mode=0o600)
    file.write_text(text, encoding="ascii")
    return str(file)
