"""The second managed Redis: cached answers, which may be evicted, apart from jobs and limits, which may not.

A policy holds for a whole server, and BullMQ works with `noeviction` alone. Nothing here is worth a volume.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.data import ManagedRedis
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build import data, redis
from aiapp_operator.build.addresses import REDIS_PORT
from aiapp_operator.build.metadata import child
from aiapp_operator.build.metadata import service as build_service
from aiapp_operator.build.pod import DATA_UID, empty_dir, pod_spec, pod_template
from aiapp_operator.build.resources import resources
from aiapp_operator.config import Settings

COMPONENT = ComponentName.REDIS_CACHE


def wanted(app: AIApp) -> ManagedRedis | None:
    """The managed Redis of an AIApp that caches answers in it; None where there is no such cache."""
    cache = app.spec.cache
    return app.spec.redis.managed if cache is not None and cache.exact is not None else None


def service(app: AIApp) -> Manifest:
    """A stable address."""
    return build_service(app, COMPONENT, "", REDIS_PORT)


def deployment(app: AIApp, settings: Settings, managed: ManagedRedis) -> Manifest:
    """The server. It has the password of the other one."""
    compute = resources(managed.cache_resources, cpu="20m", memory="64Mi", limit="256Mi")
    main = redis.server(app, settings, COMPONENT, compute, policy="allkeys-lru", persistent=False)
    secrets = {"": names.part(app.name, ComponentName.REDIS)}
    spec = pod_spec(
        app,
        DATA_UID,
        [main],
        initContainers=[data.check(main["image"], secrets)],
        volumes=[
            data.secrets_volume(secrets),
            empty_dir("run", "16Mi"),
            empty_dir("tmp", "64Mi"),
            empty_dir("data", "64Mi"),
        ],
        terminationGracePeriodSeconds=30,
    )
    manifest = child(app, "Deployment", names.part(app.name, COMPONENT), COMPONENT)
    manifest["spec"] = {
        "replicas": 1,
        "selector": {"matchLabels": names.selector(app.name, COMPONENT)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": pod_template(app, COMPONENT, "", spec),
    }
    return manifest
