"""PostgreSQL by the real CloudNativePG: it comes up, and the death of its primary loses nothing."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest
from rich.console import Console

from tests.e2e.apps import AppFactory
from tests.stack import cloudnativepg
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward
from tests.stack.install import Platform
from tests.stack.wait import wait_until

# The cluster, its images and CloudNativePG come up inside of the first test.
pytestmark = pytest.mark.timeout(1500)
INSTANCES = 2  # this machine is small
MOST_SECONDS_WITHOUT_API = 10.0
CLUSTER = {
    "cloudNativePG": {
        "instances": INSTANCES,
        "storage": {"size": "1Gi"},
        "resources": {"requests": {"memory": "256Mi"}, "limits": {"memory": "512Mi"}},
    }
}


@pytest.fixture(scope="module")
def app(module_apps: AppFactory) -> AppHandle:
    """First without CloudNativePG, which is then installed."""
    app = module_apps.apply("resilient", postgres=CLUSTER)
    if not has_cloudnativepg(module_apps.platform):
        missing = app.wait_condition("DependenciesAvailable", "False", reason="CloudNativePGMissing")
        assert "install it" in missing["message"]
    cloudnativepg.install(module_apps.platform, Console(highlight=False, width=160))
    app.wait_condition("DependenciesAvailable", "True", seconds=90)
    app.wait_ready(seconds=420)
    return app


def has_cloudnativepg(platform: Platform) -> bool:
    found = platform.kube.kubectl_run("get", "crd", "clusters.postgresql.cnpg.io")
    return found.returncode == 0


def primary(app: AppHandle) -> str:
    cluster = app.kube.get("Cluster", f"{app.name}-postgres", app.namespace)
    assert cluster is not None
    return str((cluster.get("status") or {}).get("currentPrimary", ""))


def secret(app: AppHandle, role: str) -> dict[str, str]:
    """What the tests may read and the operator may not."""
    name = f"{app.name}-postgres-{role}" if role != "owner" else f"{app.name}-postgres"
    template = '{{range $k, $v := .data}}{{$k}}={{$v | base64decode}}{{"\\n"}}{{end}}'
    text = app.kube.kubectl("-n", app.namespace, "get", "secret", name, "-o", f"go-template={template}")
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def address(app: AppHandle) -> str:
    service = app.kube.get("Service", f"{app.name}-postgres-rw", app.namespace)
    assert service is not None
    return str(service["spec"]["clusterIP"])


def connect(app: AppHandle, role: str) -> psycopg.Connection:
    """Straight to the Service of the primary, as the pods do."""
    found = secret(app, role)
    options = "-crole=aiapp" if role == "owner" else ""
    return psycopg.connect(
        host=address(app),
        user=found["username"],
        password=found["password"],
        dbname=found["database"],
        options=options,
        connect_timeout=2,
        autocommit=True,
        keepalives_idle=1,
        tcp_user_timeout=2000,
    )


def test_it_comes_up_with_roles_of_its_own(app: AppHandle) -> None:
    conditions = app.conditions()
    assert conditions["PostgresReady"]["message"] == f"postgres: {INSTANCES}/{INSTANCES} pods"
    assert conditions["Migrated"]["status"] == "True"
    with connect(app, "owner") as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS rows (id bigint PRIMARY KEY, v vector(3))")
        assert owner.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'rows'").fetchone() == ("aiapp",)
    with connect(app, "api") as api:
        api.execute("INSERT INTO rows VALUES (-1, '[1,2,3]')")
        api.execute("DELETE FROM rows")
        for forbidden in ("DROP TABLE rows", "CREATE TABLE other (x int)", "SET ROLE aiapp"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                api.execute(forbidden)


@dataclass
class Writer:
    """Commits one row after the other, and asks the API meanwhile."""

    app: AppHandle
    url: str
    committed: list[int] = field(default_factory=list)
    api_failures: list[float] = field(default_factory=list)
    sql_failures: list[float] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        number, connection = 0, None
        while not self.stop.is_set():
            try:
                connection = connection or connect(self.app, "api")
                connection.execute("INSERT INTO rows VALUES (%s) ON CONFLICT DO NOTHING", (number,))
                self.committed.append(number)
                number += 1
            except psycopg.Error as error:
                print("writer", type(error).__name__, error, flush=True)
                self.sql_failures.append(time.monotonic())
                connection = None
                self.stop.wait(0.2)

    def ask(self) -> None:
        body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
        with httpx.Client(timeout=5) as client:
            while not self.stop.is_set():
                try:
                    done = client.post(f"{self.url}/v1/chat/completions", json=body).status_code == httpx.codes.OK
                except httpx.HTTPError:
                    done = False
                if not done:
                    self.api_failures.append(time.monotonic())
                self.stop.wait(0.1)


@pytest.fixture
def writer(app: AppHandle) -> Iterator[Writer]:
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as url:
        made = Writer(app, url)
        threads = [threading.Thread(target=work, daemon=True) for work in (made.write, made.ask)]
        for thread in threads:
            thread.start()
        yield made
        made.stop.set()
        for thread in threads:
            thread.join(timeout=30)


def test_the_death_of_the_primary_loses_no_row(app: AppHandle, writer: Writer, record_property) -> None:
    wait_until("rows are committed", lambda: len(writer.committed) > 100, seconds=30)
    before = primary(app)
    app.kube.kubectl("-n", app.namespace, "delete", "pod", before, "--force", "--grace-period=0")
    killed = time.monotonic()
    wait_until("another primary", lambda: primary(app) not in {"", before}, seconds=120)
    moved = time.monotonic()
    app.wait_condition("PostgresReady", "False", seconds=60)
    assert "Stalled" not in app.conditions(), "a failover passes by itself"
    so_far = len(writer.committed)
    wait_until("rows are committed again", lambda: len(writer.committed) > so_far + 50, seconds=60)
    app.wait_ready(seconds=240)
    writer.stop.set()
    api = (max(writer.api_failures) - min(writer.api_failures)) if writer.api_failures else 0.0
    sql = (max(writer.sql_failures) - killed) if writer.sql_failures else 0.0
    figures = {"moved_s": moved - killed, "api_s": api, "sql_s": sql, "committed": len(writer.committed)}
    record_property("failover", json.dumps(figures))
    print(json.dumps({"failover": {name: round(value, 1) for name, value in figures.items()}}))  # a figure
    assert api <= MOST_SECONDS_WITHOUT_API
    with connect(app, "api") as connection:
        found = {row[0] for row in connection.execute("SELECT id FROM rows").fetchall()}
    assert set(writer.committed) <= found, "a row that was confirmed is gone"
