"""Which IP addresses belong to the internet, and to nobody's inside.

`ipaddress.is_global` alone says yes to addresses that lead inside on a detour: IPv6 ranges that carry an IPv4
address, and one that a cloud answers at with credentials.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# What is inside of an IPv6 address of these is decided by a router on the way.
_CARRIES_IPV4 = tuple(
    ip_network(text)
    for text in (
        "::/96",  # IPv4-compatible, given up
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    )
)
_OTHERS = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's own services in each virtual machine
        "192.0.0.0/24",  # IETF protocols; Oracle's clouds answer here
        "192.88.99.0/24",  # 6to4 relays
        "fec0::/10",  # site-local, given up but still routed
        "5f00::/16",  # segment routing
        "3fff::/20",  # documentation
        "100::/64",  # discard
    )
)


def is_public(text: str) -> bool:
    """Whether an address in its usual notation is one of the internet. Whatever is no address is not."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if address.is_private or address.is_loopback or address.is_link_local:
        return False
    return not any(address in network for network in (*_CARRIES_IPV4, *_OTHERS))
