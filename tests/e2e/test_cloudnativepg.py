"""PostgreSQL by the real CloudNativePG: noticed when it is installed, with roles of our own."""

import psycopg
import pytest
from rich.console import Console

from tests.e2e.apps import AppFactory
from tests.stack import cloudnativepg
from tests.stack.aiapp import AppHandle
from tests.stack.install import Platform

# The cluster, its images and CloudNativePG come up inside of the first test.
pytestmark = pytest.mark.timeout(1500)
INSTANCES = 2  # this machine is small
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
