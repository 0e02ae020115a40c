"""A Redis behind sentinels, behind TLS, and one that is a cluster: real processes of each."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from aiapp_service.config import RedisConfig
from aiapp_service.jobs import redis as client_module
from aiapp_service.jobs.redis import connect
from aiapp_service.stores.redis_url import WrongRedisUrl
from tests.integration.servers.processes import Server, folder_for, free_port, running
from tests.integration.servers.redis import PASSWORD, USER
from tests.integration.service.waiting import until


@contextmanager
def started(folder: Path, *options: str, port: int, mode: tuple[str, ...] = ()) -> Iterator[Server]:
    """A server with these options."""
    home = folder_for(USER, folder)
    config = home / "redis.conf"
    config.write_text(
        "\n".join([f"port {port}", "bind 127.0.0.1", f"dir {home}", 'save ""', *options]), encoding="utf-8"
    )
    config.chmod(0o666)
    home.chmod(0o777)

    def answers() -> bool:
        try:
            with redis.Redis(port=port, socket_connect_timeout=1) as asking:
                return bool(asking.ping())
        except redis.AuthenticationError:
            return True
        except RedisError:
            return False

    with running(Server(["redis-server", str(config), *mode], USER, home / "log", answers)) as server:
        yield server


def url_file(folder: Path, url: str) -> RedisConfig:
    path = folder / "url"
    path.write_text(url, encoding="utf-8")
    return RedisConfig(url_file=path)


async def test_sentinels_lead_to_the_master_and_to_the_next_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(client_module, "SOCKET_SECONDS", 2.0)
    first, second, third = free_port(), free_port(), free_port()
    secret = (f"requirepass {PASSWORD}", f"masterauth {PASSWORD}")
    watching = (
        f"sentinel monitor main 127.0.0.1 {first} 1",
        f"sentinel auth-pass main {PASSWORD}",
        "sentinel down-after-milliseconds main 500",
        "sentinel failover-timeout main 3000",
    )
    replica = f"replicaof 127.0.0.1 {first}"
    with (
        started(tmp_path / "one", *secret, port=first) as master,
        started(tmp_path / "two", *secret, replica, port=second),
        started(tmp_path / "three", *watching, port=third, mode=("--sentinel",)),
    ):
        with redis.Redis(port=third) as sentinel:
            await until("the replica is seen", lambda: sentinel.sentinel_slaves("main"))
        client = connect(url_file(tmp_path, f"redis+sentinel://:{PASSWORD}@127.0.0.1:{third}/main/0"))
        try:
            await client.set("key", "value")
            with redis.Redis(port=second, password=PASSWORD) as copy:
                await until("the replica has it", lambda: copy.get("key") == b"value")
            master.stop()

            async def written() -> bool:
                try:
                    return bool(await client.set("key", "later"))
                except (RedisConnectionError, ReadOnlyError, TimeoutError, redis.TimeoutError):
                    return False

            await until("the replica is the master", written, seconds=30)
            assert await client.get("key") == "later"
        finally:
            await client.aclose()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    folder = folder_for(USER, tmp_path_factory.mktemp("tls") / "home")
    key, cert = folder / "key.pem", folder / "cert.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert]
    subprocess.run([*command, *names], check=True, capture_output=True)
    for file in (key, cert):
        file.chmod(0o644)
    return key, cert


async def test_tls_is_spoken_and_certificates_are_checked(tmp_path, certificate) -> None:
    key, cert = certificate
    plain, tls = free_port(), free_port()
    options = (f"tls-port {tls}", f"tls-cert-file {cert}", f"tls-key-file {key}", "tls-auth-clients no")
    with started(tmp_path / "one", *options, f"requirepass {PASSWORD}", port=plain):
        url = f"rediss://:{PASSWORD}@localhost:{tls}/0"
        trusting = connect(url_file(tmp_path, f"{url}?ssl_ca_certs={cert}"))
        assert await trusting.ping()
        await trusting.aclose()
        strict = connect(url_file(tmp_path, url))
        with pytest.raises(RedisConnectionError, match="certificate verify failed"):
            await strict.ping()
        await strict.aclose()


async def test_a_cluster_is_refused_by_name(tmp_path) -> None:
    port = free_port()
    with started(tmp_path / "one", f"cluster-enabled yes\ncluster-port {free_port()}", port=port):
        client = connect(url_file(tmp_path, f"redis://127.0.0.1:{port}/0"))
        with pytest.raises((WrongRedisUrl, RedisError), match=r"redis\.external: a Redis Cluster cannot be used"):
            await client.ping()
        await client.aclose()
