"""Which address a request came from, through proxies that are known.

A proxy appends to X-Forwarded-For whom it has heard from. What is left of the entries of known proxies was written
by the client itself, and is not believed.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

HEADER = "X-Forwarded-For"
MOST_HOPS = 32
_KNOWN_PEERS = 4096


class Proxies:
    """Addresses that are believed."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        # Requests come from few peers.
        self._trusts = lru_cache(_KNOWN_PEERS)(self._look)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The client's address: of `peer`, or of the entries of `forwarded` the last one that is no known proxy."""
        if not self._networks or not forwarded or not self._trusts(peer):
            return peer
        nearest = peer
        entries = [entry for line in forwarded for entry in line.split(",")]
        for entry in reversed(entries[-MOST_HOPS:]):
            address = _parsed(entry)
            if address is None:
                break
            nearest = str(address)
            if not self._is_known(address):
                break
        return nearest

    def _look(self, peer: str) -> bool:
        address = _parsed(peer)
        return address is not None and self._is_known(address)

    def _is_known(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _parsed(entry: str) -> IPv4Address | IPv6Address | None:
    """Also with a port, as some proxies write it: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
