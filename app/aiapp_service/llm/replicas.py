"""Equal servers behind one name: the same conversation goes to the same one, whose cache knows its beginning.

A headless Service resolves to the addresses of its pods. Which of them serves a conversation follows from the
beginning of it by rendezvous hashing, so that a pod that comes or goes moves only its own share; where the chosen one
is much busier than the others the next one serves.
"""

import asyncio
import hashlib
import json
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiapp_service.llm.load import Load
from aiapp_service.llm.standing import Standing
from aiapp_service.llm.upstream import Upstream

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 5.0
_RESOLVE_SECONDS = 5.0
# A replica may have this many times the mean of requests under way, and a few more: batches need some.
_FAIR_SHARE = 1.25
_SLACK = 4
# Longer beginnings differ in what comes first, or share so much that one server should have them.
_MOST_CHARACTERS = 4096

Resolve = Callable[[str], Awaitable[Sequence[str]]]


class Replica:
    """One of the servers."""

    def __init__(self, address: str, upstream: Upstream) -> None:
        self.address = address
        self.upstream = upstream
        self.standing = Standing()
        self.load = Load()


class ReplicaSet:
    """The servers behind a name, empty until it was resolved; `make` gives the upstream of a URL.

    `host` is the name that resolves to their addresses; empty: the one in `base_url`. Upstreams of another `kind` are
    made in another way.
    """

    def __init__(self, base_url: str, make: Callable[[str], Upstream], host: str = "", kind: str = "") -> None:
        self.base_url = base_url
        self.kind = kind
        own = urlsplit(base_url).hostname or ""
        self.host = host or own
        self.balanced = self.host != own  # base_url leads to those that are ready, whatever was resolved last
        self.replicas: tuple[Replica, ...] = ()
        self._make = make

    def take(self, addresses: Iterable[str]) -> None:
        """These are the addresses now; what is known of those that stay is kept."""
        known = {replica.address: replica for replica in self.replicas}
        wanted = sorted(set(addresses))
        self.replicas = tuple(
            known.get(address) or Replica(address, self._make(_at(self.base_url, address))) for address in wanted
        )

    def order(self, key: bytes, now: float) -> Sequence[Replica]:
        """All of them, from the first to the last one to try; `key` stands for the conversation."""
        ranked = sorted(self.replicas, key=lambda replica: _rank(key, replica.address), reverse=True)
        most = _FAIR_SHARE * (sum(replica.load.in_flight for replica in ranked) + 1) / len(ranked) + _SLACK

        def place(replica: Replica) -> tuple[bool, bool, int]:
            busy = replica.load.in_flight >= most
            return replica.standing.rests(now), busy, replica.load.in_flight if busy else 0

        return sorted(ranked, key=place)


def is_name(base_url: str) -> bool:
    """Whether a URL may stand for several servers. With TLS they would have to be told the name: they stay one."""
    url = urlsplit(base_url)
    try:
        ip_address(url.hostname or "")
    except ValueError:
        return url.scheme == "http" and bool(url.hostname)
    return False


def _at(base_url: str, address: str) -> str:
    url = urlsplit(base_url)
    host = f"[{address}]" if ":" in address else address
    return url._replace(netloc=host if url.port is None else f"{host}:{url.port}").geturl()


def _rank(key: bytes, address: str) -> bytes:
    return hashlib.blake2b(address.encode(), key=key, digest_size=8).digest()


def conversation_key(body: Mapping[str, Any], tenant: str) -> bytes:
    """Stands for tenant, instructions and first message of a user: what later requests of a conversation begin with."""
    beginning: list[str] = [tenant]
    if instructions := body.get("instructions"):
        beginning.append(_text(instructions))
    # What is called items in requests for responses.
    messages = body.get("messages") or body.get("input")
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        beginning.append(_text(message.get("content")))
        if message.get("role") == "user":
            break
    else:
        beginning.append(_text(body.get("input")))
    return hashlib.blake2b(json.dumps(beginning).encode(), digest_size=16).digest()


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content[:_MOST_CHARACTERS]
    if not isinstance(content, list):
        return ""
    pieces = (part.get("text") if isinstance(part, dict) else part for part in content[:8])
    return "".join(piece[:_MOST_CHARACTERS] for piece in pieces if isinstance(piece, str))


async def resolve(host: str) -> Sequence[str]:
    """The addresses of `host`, by the resolver of the system. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return one_family([str(address[0]) for *_, address in found])


def one_family(addresses: Sequence[str]) -> Sequence[str]:
    """Those of IPv4, else those of IPv6: where there are both they lead to the same servers."""
    return [address for address in addresses if ":" not in address] or addresses


async def refresh(sets: Iterable[ReplicaSet], resolving: Resolve) -> None:
    """Look up all names once; where that fails the addresses of before still count."""

    async def one(replicas: ReplicaSet) -> None:
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                addresses = await resolving(replicas.host)
        except (OSError, TimeoutError, UnicodeError) as error:
            log.debug("name not resolved", extra={"host": replicas.host, "error": type(error).__name__})
            return
        if addresses:
            replicas.take(addresses)

    async with asyncio.TaskGroup() as group:
        for replicas in sets:
            group.create_task(one(replicas))


async def watch(sets: Callable[[], Iterable[ReplicaSet]], rng: random.Random) -> None:
    """Until cancelled; `sets` gives those that there are now."""
    while True:
        await refresh(sets(), resolve)
        await asyncio.sleep(INTERVAL_SECONDS * rng.uniform(0.8, 1.2))
