"""Managed PostgreSQL with pgvector: one pod, one volume, started by scripts/postgres-start.sh."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.data import ManagedPostgres
from aiapp_operator.api.facts import Claim
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.build import data, database_roles
from aiapp_operator.build.addresses import POSTGRES_PORT
from aiapp_operator.build.metadata import service as build_service
from aiapp_operator.build.pod import container, empty_dir, exec_probe, mount
from aiapp_operator.build.resources import memory_limit, resources
from aiapp_operator.build.scripts import POSTGRES_PROBE, POSTGRES_START, shell
from aiapp_operator.config import Settings

# Kubelets refresh what is mounted within about two minutes.
OVERLAP = "15 minutes"
_DATA = "/var/lib/postgresql/data"
_RUN = "/run/aiapp"
_MIB = 1024 * 1024


def claim(app: AIApp, postgres: ManagedPostgres, found: Claim | None) -> Manifest:
    """The volume of the data."""
    name = names.part(app.name, ComponentName.POSTGRES)
    return data.claim(app, ComponentName.POSTGRES, postgres.storage, found, name=name)


def service(app: AIApp) -> Manifest:
    """A stable address, so that clients keep no name of a pod in their caches."""
    return build_service(app, ComponentName.POSTGRES, "", POSTGRES_PORT)


def secret_names(app: AIApp) -> dict[str, str]:
    """The Secret of each role, by the name of the folder that it is mounted in."""
    return {role.value: names.database_secret(app.name, role) for role in DatabaseRole}


def compute(postgres: ManagedPostgres) -> Manifest:
    """Compute resources of the server."""
    return resources(postgres.resources, cpu="100m", memory="256Mi", limit="1Gi")


def stateful_set(app: AIApp, settings: Settings, postgres: ManagedPostgres) -> Manifest:
    """The server. It is stopped fast: clients are disconnected, nothing that is committed is lost."""
    main = container(
        ComponentName.POSTGRES.value,
        settings.images.postgres,
        command=shell(POSTGRES_START, "postgres-start", *_arguments(memory_limit(compute(postgres)))),
        env=[{"name": name, "value": value} for name, value in _environment(app, postgres).items()],
        ports=[data.port(ComponentName.POSTGRES, POSTGRES_PORT)],
        resources=compute(postgres),
        volumeMounts=[
            mount("data", _DATA),
            mount("secret", data.SECRET_DIR, read_only=True),
            mount("run", _RUN),
            mount("tmp", "/tmp"),  # noqa: S108  # inside the container
            mount("shm", "/dev/shm"),  # noqa: S108  # inside the container
        ],
        # A recovery after a crash may take long; killing it would start it anew.
        startupProbe=_probe("started", period=2, failures=1800),
        livenessProbe=_probe("live", period=10, failures=6),
        readinessProbe=_probe("ready", period=5, failures=3),
        # SIGTERM would wait for all clients to leave.
        lifecycle={"preStop": {"exec": {"command": ["/bin/sh", "-c", "kill -INT 1"]}}},
    )
    volumes = [empty_dir("run", "16Mi"), empty_dir("tmp", "1Gi"), empty_dir("shm", "128Mi", memory=True)]
    return data.stateful_set(app, ComponentName.POSTGRES, main, volumes, secrets=secret_names(app), grace=120)


def _probe(question: str, *, period: int, failures: int) -> Manifest:
    return exec_probe(shell(POSTGRES_PROBE, "postgres-probe", question), period=period, failures=failures, timeout=8)


def _environment(app: AIApp, postgres: ManagedPostgres) -> dict[str, str]:
    return {
        "PGDATA": f"{_DATA}/pgdata",
        "PG_MAJOR": postgres.version.value,
        "PG_ROLE": database_roles.OWNER,
        "PG_DATA_ROLE": database_roles.DATA,
        "PG_OVERLAP": OVERLAP,
        "PG_EXTENSION": "vector",
        "PG_RUN": _RUN,
        "SECRET_DIR": data.SECRET_DIR,
        "SECRET_NAME": names.part(app.name, ComponentName.POSTGRES),
    }


def max_connections(memory: int) -> int:
    """Connections that a server with a memory limit (bytes) takes."""
    return min(max(memory // _MIB // 8, 50), 1000)


def parameters(memory: int) -> dict[str, str]:
    """Server settings from the memory limit (bytes), by the rules of thumb of PostgreSQL's documentation."""
    mib = memory // _MIB
    return {
        "shared_buffers": f"{max(mib // 4, 32)}MB",
        "effective_cache_size": f"{max(mib * 3 // 4, 64)}MB",
        "maintenance_work_mem": f"{min(max(mib // 16, 16), 1024)}MB",
        "max_connections": str(max_connections(memory)),
        "max_wal_size": "512MB",
    }


def _arguments(memory: int) -> list[str]:
    values = {
        "listen_addresses": "*",
        **parameters(memory),
        # The log has no times, since the container runtime adds them: equal crashes give equal status.
        "log_line_prefix": "%q%u@%d ",
    }
    return [argument for name, value in values.items() for argument in ("-c", f"{name}={value}")]
