"""OpenAI-compatible servers over HTTP: providers and inference pods."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from aiapp_service.credentials import SecretFile
from aiapp_service.llm.upstream import Ask, BackendError, Endpoint, Reason

PROBE_SECONDS = 5.0
# Long enough for a pool, short enough not to meet a server that has closed meanwhile.
_KEEPALIVE_SECONDS = 30.0
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}


def client_session() -> aiohttp.ClientSession:
    """Connections to all upstreams: no proxies, redirects or cookies that nobody asked for."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=True,
        trust_env=False,
    )


class HttpReply:
    """An answer that is being read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.content_type = response.content_type
        self.retry_after = response.headers.get("Retry-After")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        content = self._response.content
        try:
            while chunk := await _next(content):
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise BackendError(Reason.BROKEN, "the answer broke off") from error


async def _next(content: aiohttp.StreamReader) -> bytes:
    """All that has come of an answer, at least something; empty at its end.

    A server sends each token as a chunk of HTTP, many of which come together when there is much to do. The library
    gives them out one by one and looks each time whether its connection may go on, at a third of the price of a stream.
    """
    first, _ = await content.readchunk()
    while not first and not content.at_eof():
        first, _ = await content.readchunk()
    # What is in it stays the same, it is only put together. At the end there may be none.
    waiting = content._buffer if first else None  # noqa: SLF001  # readany() pays for each chunk
    if not waiting:
        return first
    if len(waiting) > 1:
        together = b"".join(waiting)
        waiting.clear()
        waiting.append(together)
    return first + content.read_nowait()


class Posted:
    """A request under way: as a context it POSTs `body` as JSON, and gives the reply.

    The connection is closed where the answer was not read to its end. Entering raises BackendError without an answer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str | URL,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        connect_seconds: float,
    ) -> None:
        self._session = session
        self._url = url
        self._body = body
        self._headers = headers
        self._connect_seconds = connect_seconds
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> HttpReply:
        try:
            self._response = await self._session.post(
                self._url,
                data=_encoded(self._body),
                headers={**_HEADERS, **self._headers},
                timeout=_connecting_within(self._connect_seconds),
                allow_redirects=False,
            )
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise BackendError(Reason.CONNECT, "cannot be reached") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BackendError(Reason.BROKEN, "closed the connection without an answer") from error
        return HttpReply(self._response)

    async def __aexit__(self, *_error: object) -> None:
        response = self._response
        if response is None:
            return
        if response.content.at_eof():
            response.release()
        else:
            # The server notices at once and stops generating.
            response.close()


@lru_cache(maxsize=64)
def _connecting_within(seconds: float) -> aiohttp.ClientTimeout:
    # Looking up the name counts as well, which `sock_connect` would leave out.
    return aiohttp.ClientTimeout(total=None, connect=seconds)


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@asynccontextmanager
async def checked_get(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
) -> AsyncIterator[aiohttp.ClientResponse]:
    """GET, to see whether a server is there and takes the key.

    Raises:
        BackendError: it cannot be reached, refuses the key or fails.
    """
    timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
    try:
        async with session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as response:
            status = response.status
            if status in (401, 403):
                raise BackendError(Reason.REFUSED_KEY, f"refuses the API key ({status})", status=status)
            if status >= 500:
                raise BackendError(Reason.SERVER_ERROR, f"answered {status}")
            yield response
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BackendError(Reason.CONNECT, "cannot be reached") from error


class HttpUpstream:
    """A server with the OpenAI API below `base_url`, with the key of `key_file` where it wants one."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        key_file: SecretFile | None,
        *,
        adds_usage: bool,
        has_responses: bool = False,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._urls = {endpoint: URL(f"{self._base_url}/{endpoint}") for endpoint in Endpoint}
        self._key_file = key_file
        self.adds_usage = adds_usage
        self.has_responses = has_responses

    def send(self, ask: Ask) -> AbstractAsyncContextManager[HttpReply]:
        """POST; the connection is closed where the answer was not read to its end."""
        return Posted(self._session, self._urls[ask.endpoint], ask.body, self._authorization(), ask.connect_seconds)

    async def probe(self) -> None:
        """GET /models: any answer but a refusal of the key or a failure of the server means that it is there."""
        async with checked_get(self._session, f"{self._base_url}/models", self._authorization()):
            pass

    def _authorization(self) -> dict[str, str]:
        key = self._key_file.get() if self._key_file is not None else None
        return {"Authorization": f"Bearer {key}"} if key else {}
