"""What the Secret of a Redis may hold."""

import pytest

from aiapp_service.stores.redis_url import Place, WrongRedisUrl, parsed


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h", Place(host="h", port=6379)),
        ("redis://:p%40ss@h:7000/3", Place(host="h", port=7000, database=3, password="p@ss")),
        ("redis://user:pass@[::1]:7000?db=2", Place(host="::1", port=7000, database=2, user="user", password="pass")),
        (
            "rediss://h:1?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none",
            Place(host="h", port=1, tls=True, tls_options={"ssl_ca_certs": "/ca.pem", "ssl_cert_reqs": "none"}),
        ),
        ("unix:///run/redis.sock?db=1", Place(socket="/run/redis.sock", database=1)),
        (
            "redis+sentinel://:pw@a:26380,b/main/2?sentinel_password=sp",
            Place(
                sentinels=(("a", 26380), ("b", 26379)),
                master="main",
                database=2,
                password="pw",
                sentinel_password="sp",
            ),
        ),
        ("rediss+sentinel://a/main", Place(sentinels=(("a", 26379),), master="main", tls=True)),
    ],
)
def test_urls(url, place):
    assert parsed(url) == place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+cluster://:secret@a,b", "Redis Cluster cannot be used"),
        ("http://:secret@h", "redis://, rediss:// or redis"),
        ("secret", "redis://, rediss:// or redis"),
        ("redis+sentinel://:secret@a:26379", "name of the master"),
        ("redis://:secret@h:port", "have to be numbers"),
        ("redis://:secret@h/db", "have to be numbers"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url, words):
    with pytest.raises(WrongRedisUrl) as caught:
        parsed(url)
    assert str(caught.value).startswith("redis.external: ")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
