"""Managed PostgreSQL and Redis under traffic: new passwords without one failed request, and running short is told."""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.e2e import databases
from tests.e2e.apps import AppFactory
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward
from tests.stack.wait import wait_until

KEY = "key-of-the-databases-test"
# Kubelets of the tests refresh what is mounted every ten seconds, and the operator asks for /health every thirty.
REFRESH_SECONDS, TOLD_SECONDS = 120, 90
_CLIENT = 'cli="$(command -v redis-cli || command -v valkey-cli)"; REDISCLI_AUTH="$(cat /etc/aiapp/secret/password)"'
_REDIS = f'{_CLIENT}; export REDISCLI_AUTH VALKEYCLI_AUTH="$REDISCLI_AUTH"; exec "$cli" "$@"'
_OLD_HASH = "for file in $(find /run/aiapp -name 'previous.*'); do echo ${file##*previous.}; done"


@pytest.fixture(scope="module")
def app(module_apps: AppFactory) -> AppHandle:
    module_apps.kube.secret("clients", module_apps.namespace, {"me": KEY})
    auth = {"apiKeys": {"secretRef": {"name": "clients"}}}
    limits = {"requestsPerMinute": 1_000_000, "per": "Key"}
    app = module_apps.apply("steady", api={"replicas": 1, "auth": auth, "rateLimit": limits})
    app.wait_ready()
    return app


@pytest.fixture(scope="module")
def url(app: AppHandle) -> Iterator[str]:
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base:
        yield base


def redis(app: AppHandle, *command: str) -> str:
    """What redis-cli prints, run inside the pod of Redis."""
    return _inside(app, "redis", _REDIS, "redis", *command)


def url_of_the_api(app: AppHandle) -> str:
    """The URL of the database as the API's pod has it mounted."""
    pod = app.pods("api")[0]["metadata"]["name"]
    script = "import pathlib; print(pathlib.Path('/etc/aiapp/credentials/postgres/url').read_text())"
    return app.kube.kubectl("-n", app.namespace, "exec", pod, "--", "python", "-c", script)


def _inside(app: AppHandle, component: str, script: str, *arguments: str) -> str:
    pod = app.pods(component)[0]["metadata"]["name"]
    place = ("-n", app.namespace, "exec", pod, "-c", component, "--", "sh", "-c", script)
    return app.kube.kubectl(*place, *arguments).strip()


def usage(client: httpx.Client) -> str:
    """Reads rows of PostgreSQL; empty: it went well."""
    answer = client.get("/v1/usage")
    return "" if answer.status_code == httpx.codes.OK else f"usage {answer.status_code} {answer.text[:200]}"


def responses(client: httpx.Client) -> str:
    """Stores an answer in Redis, and reads it."""
    made = client.post("/v1/responses", json={"model": "chat", "input": "hello", "store": True})
    if made.status_code != httpx.codes.OK:
        return f"responses {made.status_code} {made.text[:200]}"
    found = client.get(f"/v1/responses/{made.json()['id']}")
    return "" if found.status_code == httpx.codes.OK else f"stored {found.status_code} {found.text[:200]}"


def health(client: httpx.Client) -> str:
    """Whether the service itself has noticed anything."""
    checks = client.get("/health").json()["checks"]
    return "; ".join(f"{name}: {check}" for name, check in checks.items() if check["status"] != "ok")


@dataclass
class Traffic:
    """Requests one after the other, from several threads, until it is stopped."""

    url: str
    done: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def add(self, *works: Callable[[httpx.Client], str], pause: float = 0.05) -> None:
        """A thread for each."""
        for work in works:
            thread = threading.Thread(target=self._run, args=(work, pause), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let what is under way come to its end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def _run(self, work: Callable[[httpx.Client], str], pause: float) -> None:
        with httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=10) as client:
            while not self._stop.is_set():
                try:
                    failure = work(client)
                except httpx.HTTPError as error:
                    failure = f"{work.__name__}: {error!r}"
                self.done += 1
                if failure:
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {failure}")
                self._stop.wait(pause)


def test_new_passwords_under_traffic_fail_no_request(app: AppHandle, url: str) -> None:
    before = {name: app.kube.get("Secret", name, app.namespace) for name in ("steady-postgres-api", "steady-redis")}
    pods = {pod["metadata"]["uid"] for component in ("postgres", "redis", "api") for pod in app.pods(component)}
    new_sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'aiapp\\_api\\__%'"
    traffic = Traffic(url)
    try:
        traffic.add(usage, responses, health)
        wait_until("requests are answered", lambda: traffic.done > 100, seconds=60)
        assert traffic.failures == [], "before anything was changed"
        app.kube.kubectl("-n", app.namespace, "annotate", "aiapp", app.name, "aiapp.dev/rotate-passwords=now")

        def replaced() -> bool:
            found = {name: app.kube.get("Secret", name, app.namespace) for name in before}
            return all(
                now is not None and then is not None and now["metadata"]["uid"] != then["metadata"]["uid"]
                for then, now in zip(before.values(), found.values(), strict=True)
            )

        wait_until("new Secrets", replaced, seconds=60)
        wait_until("the API has the new Secret", lambda: "//aiapp_api_" in url_of_the_api(app), seconds=REFRESH_SECONDS)
        # More at a time than there are connections: new ones are opened, by the new login. Not so many that the
        # deadlines of the service, 100 ms for Redis, are missed for want of a processor.
        traffic.add(*[usage] * 4, pause=0.05)
        wait_until(
            "sessions of the new login",
            lambda: int(databases.sql(app, new_sessions, databases.SUPERUSER)) > 0,
            seconds=REFRESH_SECONDS,
        )
        so_far = traffic.done
        wait_until("requests go on", lambda: traffic.done > so_far + 500, seconds=120)
        # What happens by itself a quarter of an hour later.
        databases.sql(app, "ALTER ROLE aiapp_api VALID UNTIL '2020-01-01'", databases.SUPERUSER)
        old = wait_until("the old password of Redis", lambda: _inside(app, "redis", _OLD_HASH), seconds=REFRESH_SECONDS)
        for each in old.split():
            redis(app, "ACL", "SETUSER", "default", f"!{each}")
        so_far = traffic.done
        wait_until("requests go on without", lambda: traffic.done > so_far + 500, seconds=120)
    finally:
        traffic.stop()
    print(json.dumps({"rotation": {"requests": traffic.done, "failures": len(traffic.failures)}}))  # a figure
    assert not traffic.failures, "\n".join(traffic.failures)
    assert pods == {pod["metadata"]["uid"] for part in ("postgres", "redis", "api") for pod in app.pods(part)}

    databases.sql(
        app,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'aiapp_api'",
        databases.SUPERUSER,
    )
    redis(app, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=10) as client:
        wait_until("the new passwords alone", lambda: not usage(client) and not responses(client), seconds=30)
    app.wait_ready()


def warnings(app: AppHandle) -> set[str]:
    """Reasons of the Events of type Warning about it."""
    found = app.kube.list("Event", app.namespace)
    return {e["reason"] for e in found if e["type"] == "Warning" and e["regarding"]["name"] == app.name}


@contextlib.contextmanager
def sessions(app: AppHandle) -> Iterator[None]:
    """Take every connection to the database that there is for the role of the API."""
    user, _, rest = url_of_the_api(app).strip().removeprefix("postgresql://").partition(":")
    password, _, place = rest.partition("@")
    service = app.kube.get("Service", f"{app.name}-postgres", app.namespace)
    assert service is not None
    where = {"host": service["spec"]["clusterIP"], "user": user, "password": password, "dbname": place.split("/")[-1]}
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(psycopg.connect(**where, connect_timeout=5))
        yield


def test_connections_that_run_out_are_told_and_the_app_stays_ready(app: AppHandle, url: str) -> None:
    app.wait_ready()
    assert app.conditions()["PostgresReady"]["reason"] == "Ready"
    with sessions(app):
        found = app.wait_condition("PostgresReady", "False", reason="ConnectionsExhausted", seconds=TOLD_SECONDS)
        # With numbers where the API still has a connection of its own to ask by, else without.
        assert " connections in use" in found["message"]
        assert "postgres.managed.resources.limits.memory" in found["message"]
        assert app.conditions()["Ready"]["status"] == "True"
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=10) as client:
            assert responses(client) == "", "requests are answered"
    app.wait_condition("PostgresReady", "True", reason="Ready", seconds=TOLD_SECONDS)
    assert "ConnectionsExhausted" in warnings(app)


@contextlib.contextmanager
def small_disk(app: AppHandle) -> Iterator[Path]:
    """Put a file system of its size over the folder that is the volume of the database; it is empty."""
    claim = app.kube.get("PersistentVolumeClaim", f"{app.name}-postgres", app.namespace)
    assert claim is not None
    volume = app.kube.get("PersistentVolume", claim["spec"]["volumeName"])
    assert volume is not None
    if not Path(volume["spec"].get("hostPath", {}).get("path", "/no/such")).is_dir():
        pytest.skip("the volumes of this cluster are on another machine")
    folder = Path(volume["spec"]["hostPath"]["path"])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1G,mode=0777", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _fill(ballast: Path, percent: int) -> None:
    """Have so much of its file system in use."""
    ballast.unlink(missing_ok=True)
    found = os.statvfs(ballast.parent)
    used = (found.f_blocks - found.f_bavail) * found.f_frsize
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_blocks * found.f_frsize * percent // 100 - used)


def test_a_disk_that_fills_up_is_told_before_and_when_it_is_full(app: AppHandle) -> None:
    with small_disk(app) as folder:
        pod = app.pods("postgres")[0]
        app.kube.delete("Pod", pod["metadata"]["name"], app.namespace)

        def another_is_ready() -> bool:
            return any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for found in app.pods("postgres")
                if found["metadata"]["uid"] != pod["metadata"]["uid"]
                for condition in found["status"].get("conditions", [])
            )

        wait_until("another pod", another_is_ready, seconds=120, seen=app.describe)
        app.wait_ready()
        # From outside: what the pod itself writes to a file system in memory counts for its limit.
        ballast = folder / "ballast"
        _fill(ballast, 90)
        found = app.wait_condition("PostgresReady", "True", reason="DiskNearlyFull", seconds=TOLD_SECONDS)
        assert "% full of 1Gi: raise postgres.managed.storage.size" in found["message"]
        assert app.conditions()["Ready"]["status"] == "True"
        _fill(ballast, 100)
        app.wait_condition("PostgresReady", "False", reason="DiskFull", seconds=TOLD_SECONDS)
        assert {"DiskNearlyFull", "DiskFull"} <= warnings(app)
        ballast.unlink()
        app.wait_condition("PostgresReady", "True", reason="Ready", seconds=180)
