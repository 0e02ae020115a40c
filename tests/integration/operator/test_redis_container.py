"""The start script and the probes of managed Redis, with a real Redis."""

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
    children = golden.children(dict(golden.apps())["minimal"])
    stateful_set = next(c for c in children if c["kind"] == "StatefulSet" and c["metadata"]["name"].endswith("redis"))
    made = Container(
        stateful_set["spec"]["template"]["spec"]["containers"][0],
        tmp_path,
        {
            "REDIS_DATA": str(tmp_path / "data"),
            "REDIS_RUN": str(tmp_path / "run"),
            "REDIS_PORT": str(free_port()),
            "SECRET_DIR": str(tmp_path / "secret"),
        },
        shell=("/bin/sh",) if request.param == "sh" else (str(shutil.which("busybox")), "sh"),
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


def test_a_rotated_password_restarts_it_and_holds_from_then_on(container):
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
