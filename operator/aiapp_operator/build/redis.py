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
_SHARE_FOR_CACHE = 0.75
# Kubelets refresh what is mounted within about two minutes.
OVERLAP_MINUTES = "15"


def claim(app: AIApp, redis: ManagedRedis, found: Claim | None) -> Manifest:
    """The volume of the append-only file."""
    name = names.part(app.name, ComponentName.REDIS)
    return data.claim(app, ComponentName.REDIS, redis.storage, found, name=name)


def secret(app: AIApp, claim_uid: str) -> GeneratedSecret:
    """Everything a client needs; `url` is what the service reads, `cacheUrl` that of the server for the cache."""
    place = host(app, ComponentName.REDIS)
    template = {
        "username": USER,
        "password": PASSWORD,
        "host": place,
        "port": str(REDIS_PORT),
        "url": f"redis://:{PASSWORD}@{place}:{REDIS_PORT}/0",
        "cacheUrl": f"redis://:{PASSWORD}@{host(app, ComponentName.REDIS_CACHE)}:{REDIS_PORT}/0",
    }
    return data.generated_secret(app, ComponentName.REDIS, claim_uid, template)


def service(app: AIApp) -> Manifest:
    """A stable address."""
    return build_service(app, ComponentName.REDIS, "", REDIS_PORT)


def stateful_set(app: AIApp, settings: Settings, redis: ManagedRedis) -> Manifest:
    """The server for jobs and limits; it writes its data on SIGTERM, and refuses writes when its memory is full."""
    compute = resources(redis.resources, cpu="50m", memory="64Mi", limit="256Mi")
    main = server(app, settings, ComponentName.REDIS, compute, policy="noeviction", persistent=True)
    volumes = [empty_dir("run", "16Mi"), empty_dir("tmp", "64Mi")]
    secrets = {"": names.part(app.name, ComponentName.REDIS)}
    return data.stateful_set(app, ComponentName.REDIS, main, volumes, secrets=secrets, grace=60)


def server(
    app: AIApp, settings: Settings, component: ComponentName, compute: Manifest, *, policy: str, persistent: bool
) -> Manifest:
    """The container of a Redis; `policy` says what happens when its memory is full."""
    environment = {
        "REDIS_RUN": _RUN,
        "REDIS_DATA": _DATA,
        "REDIS_APPEND": "yes" if persistent else "no",
        "REDIS_MEMORY": str(int(memory_limit(compute) * (_SHARE_FOR_DATA if persistent else _SHARE_FOR_CACHE))),
        "REDIS_POLICY": policy,
        "REDIS_OVERLAP": OVERLAP_MINUTES,
        "SECRET_DIR": data.SECRET_DIR,
        "SECRET_NAME": names.part(app.name, ComponentName.REDIS),
    }
    return container(
        component.value,
        settings.images.redis,
        command=shell(REDIS_START, "redis-start"),
        env=[{"name": name, "value": value} for name, value in environment.items()],
        ports=[data.port(component, REDIS_PORT)],
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


def _probe(question: str, *, period: int, failures: int) -> Manifest:
    return exec_probe(shell(REDIS_PROBE, "redis-probe", question), period=period, failures=failures, timeout=5)
