"""URLs of a Redis: alone, by TLS, or found by sentinels. A Redis Cluster is refused.

    redis://USER:PASSWORD@HOST:PORT/DB          rediss:// with TLS, unix:///PATH for a socket
    redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DB        rediss+sentinel:// with TLS

Query parameters: `ssl_ca_certs` (a file) and `ssl_cert_reqs` (required or none), `sentinel_password`.
BullMQ and the scripts of limits touch several keys at once, which a Redis Cluster keeps on different nodes.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PORTS = {"redis": 6379, "sentinel": 26379}
_TLS = frozenset({"ssl_ca_certs", "ssl_cert_reqs", "ssl_check_hostname"})
NO_CLUSTER = (
    "redis.external: a Redis Cluster cannot be used, since jobs and limits change several keys at once: "
    "give the URL of a single Redis, or redis+sentinel:// for one with failover"
)


class WrongRedisUrl(ValueError):
    """The Secret holds no URL that works. The message does not repeat it: it may hold a password."""


@dataclass(frozen=True)
class Place:
    """Where a Redis is and how to get in."""

    host: str = ""
    port: int = 0
    socket: str = ""
    database: int = 0
    user: str = ""
    password: str = ""
    tls: bool = False
    tls_options: dict[str, Any] = field(default_factory=dict)
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_password: str = ""


def parsed(url: str) -> Place:
    """Read a URL.

    Raises:
        WrongRedisUrl: it is none, or one of a Redis Cluster.
    """
    parts = urlsplit(url)
    kind = parts.scheme.removeprefix("rediss").removeprefix("redis")
    if "cluster" in parts.scheme:
        raise WrongRedisUrl(NO_CLUSTER)
    if parts.scheme != "unix" and (not parts.scheme.startswith("redis") or kind not in {"", "+sentinel"}):
        raise WrongRedisUrl(
            "redis.external: the Secret holds no URL of a Redis: redis://, rediss:// or redis+sentinel:// is needed"
        )
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    common: dict[str, Any] = {
        "user": unquote(user),
        "password": unquote(password),
        "tls": parts.scheme.startswith("rediss"),
        "tls_options": {name: _value(value) for name, value in query.items() if name in _TLS},
        "sentinel_password": query.get("sentinel_password", ""),
    }
    path = [unquote(part) for part in parts.path.split("/") if part]
    if parts.scheme == "unix":
        return Place(socket=parts.path, database=_number(query.get("db", "0")), **common)
    if kind:
        return _by_sentinels(hosts, path, common)
    host, port = _address(hosts, _PORTS["redis"])
    return Place(host=host, port=port, database=_number(path[0] if path else query.get("db", "0")), **common)


def _by_sentinels(hosts: str, path: list[str], common: dict[str, Any]) -> Place:
    if not path:
        raise WrongRedisUrl(
            "redis.external: a URL of sentinels ends with the name of the master: redis+sentinel://HOST:26379/mymaster"
        )
    places = tuple(_address(part, _PORTS["sentinel"]) for part in hosts.split(","))
    database = _number(path[1]) if len(path) > 1 else 0
    return Place(sentinels=places, master=path[0], database=database, **common)


def _address(text: str, default_port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    return host or "localhost", _number(port) if port else default_port


def _number(text: str) -> int:
    if not text.isdigit():
        raise WrongRedisUrl("redis.external: port and database in the URL of a Redis have to be numbers")
    return int(text)


def _value(text: str) -> Any:
    return {"true": True, "false": False}.get(text.lower(), text)
