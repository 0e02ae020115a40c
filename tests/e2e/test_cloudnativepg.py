"""PostgreSQL by the real CloudNativePG: it comes up, loses nothing with its primary, and comes back from a backup."""

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
from tests.e2e.command_line import aiapp
from tests.stack import cloudnativepg
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward
from tests.stack.install import Platform
from tests.stack.objectstore import ObjectStore, object_store
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
    """First without CloudNativePG, which is then installed; a cluster that is kept between runs has it already."""
    console = Console(highlight=False, width=160)
    object_store(module_apps.platform, module_apps.namespace, console)
    installed = has_cloudnativepg(module_apps.platform)
    if installed:
        # A Cluster takes the image that the operator knows when it is made.
        cloudnativepg.install(module_apps.platform, console)
    app = module_apps.apply("resilient", **spec(module_apps))
    if not installed:
        missing = app.wait_condition("DependenciesAvailable", "False", reason="CloudNativePGMissing")
        assert "install it" in missing["message"]
        cloudnativepg.install(module_apps.platform, console)
    app.wait_condition("DependenciesAvailable", "True", seconds=90)
    app.wait_ready(seconds=420)
    return app


def spec(module_apps: AppFactory, **postgres: object) -> dict[str, object]:
    """With backups; `postgres` adds to its section."""
    store = ObjectStore(module_apps.kube, module_apps.namespace)
    return {"objectStore": store.spec, "postgres": {**CLUSTER, "backup": {}, **postgres}}


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


def trouble(client: httpx.Client) -> str:
    """What clients of the API notice; empty: nothing. The first needs no database, the second does."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
    for answer in (client.post("/v1/chat/completions", json=body), client.get("/v1/vector_stores")):
        if answer.status_code != httpx.codes.OK:
            return f"{answer.request.url.path} {answer.status_code} {answer.text[:200]}"
    return ""


@dataclass
class Writer:
    """Commits one row after the other, and asks the API meanwhile. Failures are times and words."""

    app: AppHandle
    url: str
    committed: list[int] = field(default_factory=list)
    api_failures: list[tuple[float, str]] = field(default_factory=list)
    sql_failures: list[tuple[float, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        number = 0
        while not self.stop.is_set():
            try:
                with connect(self.app, "api") as connection:
                    while not self.stop.is_set():
                        connection.execute("INSERT INTO rows VALUES (%s) ON CONFLICT DO NOTHING", (number,))
                        self.committed.append(number)
                        number += 1
            except (psycopg.Error, RuntimeError, OSError) as error:
                self.sql_failures.append((time.monotonic(), repr(error)))
                self.stop.wait(0.2)

    def ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=5) as client:
            while not self.stop.is_set():
                try:
                    failure = trouble(client)
                except httpx.HTTPError as error:
                    failure = repr(error)
                if failure:
                    self.api_failures.append((time.monotonic(), failure))
                self.stop.wait(0.1)

    def seen(self) -> str:
        """For the message of a failure."""
        return f"{len(self.committed)} rows; {self.sql_failures[-3:]}; {self.api_failures[-3:]}"


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


def test_the_death_of_the_primary_loses_no_row(app: AppHandle, writer: Writer) -> None:
    wait_until("rows are committed", lambda: len(writer.committed) > 100, seconds=30, seen=writer.seen)
    assert writer.api_failures == []
    before = primary(app)
    app.kube.kubectl("-n", app.namespace, "delete", "pod", before, "--force", "--grace-period=0")
    killed = time.monotonic()
    wait_until("another primary", lambda: primary(app) not in {"", before}, seconds=120)
    moved = time.monotonic()
    app.wait_condition("PostgresReady", "False", seconds=60)
    assert "Stalled" not in app.conditions(), "a failover passes by itself"
    so_far = len(writer.committed)
    wait_until("rows again", lambda: len(writer.committed) > so_far + 50, seconds=60, seen=writer.seen)
    app.wait_ready(seconds=240)
    writer.stop.set()
    lasted = {
        name: round(failures[-1][0] - killed, 1) if failures else 0.0
        for name, failures in (("api_s", writer.api_failures), ("sql_s", writer.sql_failures))
    }
    figures = {"moved_s": round(moved - killed, 1), **lasted, "committed": len(writer.committed)}
    print(json.dumps({"failover": figures, "told": sorted({words for _, words in writer.api_failures})}))  # figures
    assert lasted["api_s"] <= MOST_SECONDS_WITHOUT_API
    with connect(app, "api") as connection:
        found = {row[0] for row in connection.execute("SELECT id FROM rows").fetchall()}
    assert set(writer.committed) <= found, "a row that was confirmed is gone"


def content(app: AppHandle) -> tuple[object, ...] | None:
    """Of a table that the tests made."""
    query = "SELECT count(*), sum(id), md5(string_agg(id::text || v::text, ',' ORDER BY id)) FROM rows"
    with connect(app, "owner") as connection:
        return connection.execute(query).fetchone()


def test_a_cluster_that_is_destroyed_comes_back_from_its_backup(app: AppHandle, module_apps: AppFactory) -> None:
    with connect(app, "owner") as owner:
        owner.execute("INSERT INTO rows SELECT 1000000 + i, ARRAY[i, 2, 3]::vector(3) FROM generate_series(1, 500) i")
    before = content(app)
    made = aiapp(app, "backup")
    assert made.returncode == 0, made.stdout + made.stderr
    checked = aiapp(app, "restore-check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    app.wait_condition("BackupVerified", "True", reason="Verified")
    name = app.read()["status"]["database"]["lastVerifiedRestore"]["backup"]

    app.patch_spec({"deletionPolicy": "Delete"})
    app.wait_ready()
    app.kube.delete("AIApp", app.name, app.namespace)
    claims = f"cnpg.io/cluster={app.name}-postgres"
    gone = f"the Cluster and its volumes gone: {claims}"
    wait_until(gone, lambda: not app.kube.list("PersistentVolumeClaim", app.namespace, claims), seconds=120)
    again = module_apps.apply(app.name, **spec(module_apps, restoreFrom={"backup": name}))
    again.wait_ready(seconds=300)
    assert content(again) == before
    with connect(again, "api") as api:
        api.execute("INSERT INTO rows VALUES (-1)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            api.execute("DROP TABLE rows")
