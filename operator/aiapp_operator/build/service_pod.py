"""Pods that run the bundled service: what API, workers and migrations have in common."""

from typing import Any

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.build import content, credentials, service_config
from aiapp_operator.build.metadata import child
from aiapp_operator.build.pod import SERVICE_UID, container, empty_dir, http_probe, mount, pod_spec, pod_template
from aiapp_operator.build.service_config import RenderedConfig
from aiapp_operator.config import Settings
from aiapp_service.config import DEFAULT_PATH

COMMAND = "aiapp-service"
# Endpoints and load balancers learn of a stopping pod within this time (seconds).
ENDPOINT_LAG = 5
STOP_MARGIN = 10


def image(app: AIApp, settings: Settings) -> str:
    """The image of the service."""
    return app.spec.image or settings.images.service


def deployment(
    app: AIApp,
    settings: Settings,
    config: RenderedConfig,
    *,
    component: ComponentName,
    entry: str,
    replicas: int,
    role: list[str],
    port: int,
    resources: Manifest,
    **pod_fields: Any,
) -> Manifest:
    """A Deployment of the service in one role; a new pod is ready before an old one stops."""
    manifest = child(app, "Deployment", names.part(app.name, component, entry), component, entry)
    api = component is ComponentName.API
    keys = app.spec.api.auth.api_keys if api else None
    secrets = credentials.service_credentials(app, DatabaseRole.API if api else DatabaseRole.WORKER)
    mounts = [mount("config", str(DEFAULT_PATH.parent), read_only=True), credentials.credentials_mount()]
    volumes = [
        service_config.config_volume(app),
        credentials.credentials_volume(secrets),
        empty_dir("tmp", "1Gi"),
    ]
    files = content.volume(app)
    if files is not None:
        mounts.append(content.content_mount())
        volumes.append(files)
    if keys is not None:
        mounts.append(mount("api-keys", credentials.API_KEYS_DIR, read_only=True))
        volumes.append(credentials.api_keys_volume(keys.secret_ref.name))
    main = container(
        component.value,
        image(app, settings),
        command=[COMMAND, *role, "--config", str(DEFAULT_PATH)],
        ports=[{"name": "http", "containerPort": port, "protocol": "TCP"}],
        resources=resources,
        volumeMounts=[*mounts, mount("tmp", "/tmp")],  # noqa: S108  # inside the container
        startupProbe=http_probe("/livez", period=1, failures=120),
        livenessProbe=http_probe("/livez", period=10, failures=6),
        readinessProbe=http_probe("/readyz", period=3, failures=2),
    )
    if api:
        main["lifecycle"] = {"preStop": {"exec": {"command": ["/bin/sleep", str(ENDPOINT_LAG)]}}}
    whole = (keys.secret_ref.name,) if keys is not None else ()
    check = credentials.check_secrets(image(app, settings), secrets, whole)
    grace = int(config.config.drain_seconds) + STOP_MARGIN + (ENDPOINT_LAG if api else 0)
    spec = pod_spec(
        app,
        SERVICE_UID,
        [main],
        initContainers=[check],
        volumes=volumes,
        terminationGracePeriodSeconds=grace,
        **pod_fields,
    )
    annotations = {names.ANNOTATION_CONFIG_HASH: config.hash}
    manifest["spec"] = {
        "replicas": replicas,
        "selector": {"matchLabels": names.selector(app.name, component, entry)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
        "template": pod_template(app, component, entry, spec, annotations),
    }
    return manifest
