"""Managed Redis with an append-only file: one pod, one volume, started by scripts/redis-start.sh."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.data import ManagedRedis
from aiapp_operator.api.facts import Claim
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import PASSWORD, GeneratedSecret
from aiapp_operator.build import data
from aiapp_operator.build.addresses import REDIS_PORT, host
from aiapp_operator.build.metadata import service as build_service
from aiapp_operator.build.pod import container, empty_dir, exec_probe, mount
from aiapp_operator.build.resources import memory_limit, resources
from aiapp_operator.build.scripts import REDIS_PROBE, REDIS_START, shell
from aiapp_operator.config import Settings

USER = "default"
_DATA = "/data"
_RUN = "/run/aiapp"
# The rest is for the copy-on-write pages of a rewrite of the append-only file, and for buffers of clients.
_SHARE_FOR_DATA = 0.6


def claim(app: AIApp, redis: ManagedRedis, found: Claim | None) -> Manifest:
    """The volume of the append-only file."""
    name = names.part(app.name, ComponentName.REDIS)
    return data.claim(app, ComponentName.REDIS, redis.storage, found, name=name)


def secret(app: AIApp, claim_uid: str) -> GeneratedSecret:
    """Everything a client needs; `url` is what the service reads."""
    server = host(app, ComponentName.REDIS)
    template = {
        "username": USER,
        "password": PASSWORD,
        "host": server,
        "port": str(REDIS_PORT),
        "url": f"redis://:{PASSWORD}@{server}:{REDIS_PORT}/0",
    }
    return data.generated_secret(app, ComponentName.REDIS, claim_uid, template)


def service(app: AIApp) -> Manifest:
    """A stable address."""
    return build_service(app, ComponentName.REDIS, "", REDIS_PORT)


def stateful_set(app: AIApp, settings: Settings, redis: ManagedRedis) -> Manifest:
    """The server; it writes its data on SIGTERM."""
    compute = resources(redis.resources, cpu="50m", memory="64Mi", limit="256Mi")
    environment = {
        "REDIS_RUN": _RUN,
        "REDIS_DATA": _DATA,
        "REDIS_MEMORY": str(int(memory_limit(compute) * _SHARE_FOR_DATA)),
        "SECRET_DIR": data.SECRET_DIR,
        "SECRET_NAME": names.part(app.name, ComponentName.REDIS),
    }
    main = container(
        ComponentName.REDIS.value,
        settings.images.redis,
        command=shell(REDIS_START, "redis-start"),
        env=[{"name": name, "value": value} for name, value in environment.items()],
        ports=[data.port(ComponentName.REDIS, REDIS_PORT)],
        resources=compute,
        volumeMounts=[
            mount("data", _DATA),
            mount("secret", data.SECRET_DIR, read_only=True),
            mount("run", _RUN),
            mount("tmp", "/tmp"),  # noqa: S108  # inside the container
        ],
        startupProbe=_probe("live", period=1, failures=120),
        livenessProbe=_probe("live", period=10, failures=6),
        readinessProbe=_probe("ready", period=5, failures=3),
    )
    volumes = [empty_dir("run", "16Mi"), empty_dir("tmp", "64Mi")]
    return data.stateful_set(
        app, ComponentName.REDIS, main, volumes, secrets={"": names.part(app.name, ComponentName.REDIS)}, grace=60
    )


def _probe(question: str, *, period: int, failures: int) -> Manifest:
    return exec_probe(shell(REDIS_PROBE, "redis-probe", question), period=period, failures=failures, timeout=5)
