"""The stand-in: one small pod that answers in the place of an API that sleeps.

It has no configuration, no Secret and no volume, so that nothing but its image can keep it from starting.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build.metadata import child
from aiapp_operator.build.pod import SERVICE_UID, container, http_probe, pod_spec, pod_template
from aiapp_operator.build.service_pod import COMMAND, ENDPOINT_LAG, STOP_MARGIN, image
from aiapp_operator.config import Settings
from aiapp_service.config import API_PORT

COMPONENT = ComponentName.SLEEPING


def key(app: AIApp) -> ObjectKey:
    """Its Deployment."""
    return ObjectKey("Deployment", names.part(app.name, COMPONENT))


def deployment(app: AIApp, settings: Settings) -> Manifest:
    """One pod on the API's port; a new one is ready before an old one stops."""
    command = [COMMAND, "sleeping", "--host", "0.0.0.0"]  # noqa: S104  # reached through the Service
    main = container(
        COMPONENT.value,
        image(app, settings),
        command=[*command, "--retry-after", str(app.spec.sleep.retry_after_seconds)],
        ports=[{"name": "http", "containerPort": API_PORT, "protocol": "TCP"}],
        resources={"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        startupProbe=http_probe("/livez", period=1, failures=120),
        livenessProbe=http_probe("/livez", period=10, failures=6),
        readinessProbe=http_probe("/readyz", period=3, failures=2),
        # Requests come until the last load balancer has learnt that the API is back.
        lifecycle={"preStop": {"exec": {"command": ["/bin/sleep", str(ENDPOINT_LAG)]}}},
    )
    spec = pod_spec(app, SERVICE_UID, [main], terminationGracePeriodSeconds=ENDPOINT_LAG + STOP_MARGIN)
    manifest = child(app, "Deployment", names.part(app.name, COMPONENT), COMPONENT)
    manifest["spec"] = {
        "replicas": 1,
        "selector": {"matchLabels": names.selector(app.name, COMPONENT)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": pod_template(app, COMPONENT, "", spec),
    }
    return manifest
