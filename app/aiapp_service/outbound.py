"""Fetching what a URL inside a request names, without being led anywhere inside.

Only hosts that the configuration lists are asked (`fetchHosts`), by http and https. Every address that such a name
has is checked, and the connection goes to exactly the addresses that were checked: between check and connection
nobody can change the answer of a name server. Redirects are checked like the first URL.
"""

import asyncio
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from aiapp_service.public_address import is_public

SECONDS = 15.0
CONNECT_SECONDS = 5.0
MOST_REDIRECTS = 3
MOST_URL = 4096

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
# Names that a cluster or a machine answers itself.
_INSIDE = ("localhost", "local", "localdomain", "internal", "intranet", "svc", "arpa")


class NotFetched(Exception):
    """What a URL names cannot be had; the message can be told to whoever sent it."""


@dataclass(frozen=True)
class Fetched:
    """What was at a URL."""

    content_type: str
    body: bytes


class Outbound:
    """Fetches from `hosts` only: `name`, or `name:port` where the port is not the usual one of the scheme.

    `resolver` finds the addresses of names and `may_reach` decides on them; both are replaced by tests only.
    """

    def __init__(
        self,
        hosts: Collection[str],
        resolver: AbstractResolver | None = None,
        may_reach: Callable[[str], bool] = is_public,
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._resolver = resolver
        self._may_reach = may_reach

    async def fetch(self, url: str, *, most_bytes: int, content_types: Collection[str]) -> Fetched:
        """What is at `url`, of one of `content_types` (`image/png`, or `image/` for all of a kind).

        Raises:
            NotFetched: it may not be fetched, or is not there, too large, too slow, or of another type.
        """
        checked = self._checked(url)
        connector = aiohttp.TCPConnector(
            resolver=_Checking(self._resolver or _Absolute(), self._may_reach), use_dns_cache=False, force_close=True
        )
        try:
            async with (
                asyncio.timeout(SECONDS),
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    trust_env=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                ) as session,
            ):
                return await self._follow(session, checked, most_bytes, content_types)
        except TimeoutError as error:
            raise NotFetched(f"{checked.host} did not answer within {SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotFetched(f"{checked.host} cannot be reached") from error

    async def _follow(
        self, session: aiohttp.ClientSession, url: URL, most_bytes: int, content_types: Collection[str]
    ) -> Fetched:
        for _ in range(MOST_REDIRECTS + 1):
            async with session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response:
                if response.status not in _REDIRECTS:
                    return await _received(response, most_bytes, content_types)
                target = url.join(URL(response.headers.get("Location", "")))
            if url.scheme == "https" and target.scheme != "https":
                raise NotFetched(f"{url.host} redirects to an address without TLS")
            url = self._checked(str(target))
        raise NotFetched(f"{url.host}: more than {MOST_REDIRECTS} redirects")

    def _checked(self, text: str) -> URL:
        """The URL as it is then used: nothing else reads the text, so that nothing can read it in another way."""
        if len(text) > MOST_URL:
            raise NotFetched(f"the URL is longer than {MOST_URL} characters")
        try:
            url = URL(text)
            host, port = (url.host or "").lower(), url.port
        except ValueError:
            raise NotFetched("this is not a URL") from None
        if url.scheme not in _PORTS or not host:
            raise NotFetched("only http and https URLs are fetched")
        if url.user is not None or url.password is not None:
            raise NotFetched("a URL with a user or password is not fetched")
        name = host if port == _PORTS[url.scheme] else f"{host}:{port}"
        if name not in self._hosts:
            raise NotFetched(f"{name[:200]} is not among the hosts that URLs may name (fetchHosts)")
        if _is_address(host):
            # The connector asks no resolver for these.
            if not self._may_reach(host):
                raise NotFetched(f"{host} is an address that may not be reached")
        elif _is_inside(host):
            raise NotFetched(f"{host[:200]} is a name inside the cluster or machine")
        return url


async def _received(response: aiohttp.ClientResponse, most_bytes: int, content_types: Collection[str]) -> Fetched:
    host = response.url.host
    if response.status != 200:
        raise NotFetched(f"{host} answered {response.status}")
    found = response.content_type.lower()
    if not any(found == wanted or (wanted.endswith("/") and found.startswith(wanted)) for wanted in content_types):
        raise NotFetched(f"{host} answered with another type than {', '.join(sorted(content_types))}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NotFetched(f"{host} answered with an encoding that was not asked for")
    if (response.content_length or 0) > most_bytes:
        raise NotFetched(f"what {host} has is larger than {most_bytes} bytes")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most_bytes:
            raise NotFetched(f"what {host} has is larger than {most_bytes} bytes")
    return Fetched(found, bytes(body))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_inside(host: str) -> bool:
    """A name without a dot, a Service (`name.team.svc.cluster.local` and shorter), or a number in disguise."""
    labels = host.rstrip(".").split(".")
    last = labels[-1]
    return len(labels) == 1 or last in _INSIDE or "svc" in labels or last.isdigit() or last.startswith("0x")


class _Absolute(AbstractResolver):
    """The system's resolver without its search domains: in a pod they make `shop.team` a Service."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return await self._system.resolve(host.rstrip(".") + ".", port, family)

    async def close(self) -> None:
        await self._system.close()


class _Checking(AbstractResolver):
    """Passes on addresses of another resolver when all of them may be reached."""

    def __init__(self, inner: AbstractResolver, may_reach: Callable[[str], bool]) -> None:
        self._inner = inner
        self._may_reach = may_reach

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        # One that may not be reached among others is a sign of an attack, not of a mistake.
        if not found or not all(self._may_reach(result["host"]) for result in found):
            raise NotFetched(f"{host} has an address that may not be reached")
        # Numbers from here on: they are not resolved again.
        return [{**result, "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV} for result in found]

    async def close(self) -> None:
        await self._inner.close()
