"""The start script and the probes of managed Redis, with a real Redis."""

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rich.console import Console

from tests import golden
from tests.cluster.debian import SERVER_PACKAGES, ensure
from tests.integration.operator.containers import Container, free_port

PASSWORD = 'first"pass\\word'


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    # Alpine's shell, the default image's, is busybox.
    ensure((*SERVER_PACKAGES, "busybox"), Console(stderr=True))


@pytest.fixture(params=["sh", "busybox"])
def container(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Container]:
    yield from redis_container(tmp_path, request.param, "minimal", "redis")


@pytest.fixture(params=["sh", "busybox"])
def cache(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Container]:
    """The second server, for cached answers."""
    yield from redis_container(tmp_path, request.param, "gateway", "redis-cache")


def redis_container(folder: Path, shell: str, app: str, name: str) -> Iterator[Container]:
    """A container of Redis as `app` has it, run by `shell`; killed in the end."""
    children = golden.children(dict(golden.apps())[app])
    kinds = {"StatefulSet", "Deployment"}
    workload = next(c for c in children if c["kind"] in kinds and c["metadata"]["name"] == f"{app}-{name}")
    made = Container(
        workload["spec"]["template"]["spec"]["containers"][0],
        folder,
        {
            "REDIS_DATA": str(folder / "data"),
            "REDIS_RUN": str(folder / "run"),
            "REDIS_PORT": str(free_port()),
            "SECRET_DIR": str(folder / "secret"),
        },
        shell=("/bin/sh",) if shell == "sh" else (str(shutil.which("busybox")), "sh"),
    )
    made.set_password(PASSWORD)
    yield made
    made.kill()


def client(container: Container, password: str | None = PASSWORD) -> redis.Redis:
    return redis.Redis(port=int(container.environment["REDIS_PORT"]), password=password)


def test_it_wants_the_password_and_keeps_it_to_itself(container):
    container.start()
    container.wait_ready()
    with client(container) as connection:
        assert connection.ping()
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert connection.config_get("appendonly") == {"appendonly": "yes"}
        assert int(connection.config_get("maxmemory")["maxmemory"]) == 256 * 1024 * 1024 * 6 // 10
    for password in (None, "wrong"):
        with client(container, password) as connection, pytest.raises(redis.AuthenticationError):
            connection.ping()
    assert stat.S_IMODE((container.root / "run" / "redis.conf").stat().st_mode) == 0o600
    assert PASSWORD not in container.command_lines()
    assert PASSWORD not in container.log()


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_its_data_survives(container, how):
    container.start()
    container.wait_ready()
    with client(container) as connection:
        connection.set("key", "value")
    if how == "stopped":
        container.signal(signal.SIGTERM)
        assert container.wait_end() == 0
    else:
        container.kill()
    container.start()
    container.wait_ready()
    with client(container) as connection:
        assert connection.get("key") == b"value"


def test_a_rotated_password_is_taken_in_beside_the_old_one(container):
    container.start()
    container.wait_ready()
    with client(container) as before:
        before.set("key", "value")
        container.set_password("second")
        assert container.probe("readinessProbe") == 0
        assert before.get("key") == b"value", "connections live on"
    for password in (PASSWORD, "second"):
        with client(container, password) as connection:
            assert connection.get("key") == b"value"
    container.set_password("third")
    assert container.probe("readinessProbe") == 0
    for file in (container.root / "run").glob("previous.*"):
        os.utime(file, (0, 0))  # as if the time had passed
    assert container.probe("readinessProbe") == 0
    assert not list((container.root / "run").glob("previous.*"))
    for password in (PASSWORD, "second"):
        with client(container, password) as connection, pytest.raises(redis.AuthenticationError):
            connection.ping()
    with client(container, "third") as connection:
        assert connection.ping()
    assert container.probe("livenessProbe") == 0


def test_a_password_that_is_not_taken_in_fails_the_liveness_probe_and_holds_after_a_restart(container):
    container.start()
    container.wait_ready()
    assert container.probe("livenessProbe") == 0
    container.set_password("second")
    assert container.probe("livenessProbe") == 1
    container.kill()
    container.start()
    container.wait_ready()
    with client(container, "second") as connection:
        assert connection.ping()


def fill(connection: redis.Redis, megabytes: int) -> None:
    """Write that much, in keys without a time to live."""
    for number in range(megabytes):
        connection.set(f"filling:{number}", b"x" * 1024 * 1024)


def test_jobs_and_limits_are_never_evicted(container):
    container.environment["REDIS_MEMORY"] = str(8 * 1024 * 1024)
    container.start()
    container.wait_ready()
    with client(container) as connection:
        connection.set("bull:embeddings:id", 7)
        connection.set("limit", 1, ex=3600)
        with pytest.raises(redis.OutOfMemoryError):
            fill(connection, 20)
        assert connection.info("stats")["evicted_keys"] == 0
        assert connection.get("bull:embeddings:id") == b"7"
        assert connection.get("limit") == b"1"


def test_cached_answers_make_room_for_newer_ones(cache):
    cache.environment["REDIS_MEMORY"] = str(8 * 1024 * 1024)
    cache.start()
    cache.wait_ready()
    with client(cache) as connection:
        fill(connection, 20)
        assert connection.info("stats")["evicted_keys"] > 5
        assert connection.get("filling:19") is not None
        assert connection.config_get("appendonly") == {"appendonly": "no"}


def test_a_secret_that_goes_does_not_stop_a_running_server(container):
    container.start()
    container.wait_ready()
    container.set_password(None)
    assert container.probe("livenessProbe") == 0
    assert container.probe("readinessProbe") == 0


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_no_server_is_noticed_by_every_probe(container, probe):
    assert container.probe(probe) != 0


def test_a_missing_secret_is_named(container):
    container.set_password(None)
    container.start()
    assert container.wait_end() == 1
    assert "aiapp: Secret minimal-redis is missing" in container.log()
