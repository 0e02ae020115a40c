"""X-Forwarded-For is believed as far as known proxies have written it."""

from ipaddress import ip_network

import pytest

from aiapp_service.auth.client_address import Proxies

KNOWN = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("203.0.113.9", ["192.0.2.7"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["1.2.3.4, 192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", ["1.2.3.4", "192.0.2.7,10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", ["10.9.9.9, 10.0.0.2"], "10.9.9.9"),
        ("10.0.0.1", ["1.2.3.4, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.7:4711"], "192.0.2.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8:0::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7, ::ffff:10.0.0.2"], "192.0.2.7"),
        ("fd00::1", ["192.0.2.7"], "192.0.2.7"),
        ("", ["192.0.2.7"], ""),
        ("10.0.0.1", [", ".join(["192.0.2.7"] + ["10.0.0.2"] * 10_000)], "10.0.0.2"),
    ],
)
def test_client_is_the_last_one_that_no_known_proxy_is(peer, forwarded, client):
    assert Proxies(KNOWN).client(peer, forwarded) == client


def test_without_known_proxies_nothing_is_believed():
    assert Proxies([]).client("10.0.0.1", ["192.0.2.7"]) == "10.0.0.1"
