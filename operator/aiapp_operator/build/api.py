"""The OpenAI-compatible API: Deployment, Service and disruption budget."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build import service_pod
from aiapp_operator.build.metadata import child
from aiapp_operator.build.metadata import service as build_service
from aiapp_operator.build.resources import resources
from aiapp_operator.build.service_config import RenderedConfig
from aiapp_operator.config import Settings
from aiapp_service.config import API_PORT

_ZONE = "topology.kubernetes.io/zone"
_NODE = "kubernetes.io/hostname"


def deployment(app: AIApp, settings: Settings, config: RenderedConfig) -> Manifest:
    """API pods, spread over nodes and zones where there are several."""
    return service_pod.deployment(
        app,
        settings,
        config,
        component=ComponentName.API,
        entry="",
        replicas=app.spec.api.replicas if app.spec.api.autoscaling is None else None,
        role=["api", "--host", "0.0.0.0"],  # noqa: S104  # reached through the Service
        port=API_PORT,
        resources=resources(app.spec.api.resources, cpu="100m", memory="192Mi", limit="512Mi"),
        topologySpreadConstraints=[_spread(app, key) for key in (_NODE, _ZONE)],
    )


def service(app: AIApp) -> Manifest:
    """Where clients inside the cluster, and later routes from outside, reach the API."""
    return build_service(app, ComponentName.API, "", API_PORT)


def disruption_budget(app: AIApp) -> Manifest:
    """Lets node drains take one API pod at a time; never blocks one, not even with a single replica."""
    manifest = child(app, "PodDisruptionBudget", names.part(app.name, ComponentName.API), ComponentName.API)
    manifest["spec"] = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": names.selector(app.name, ComponentName.API)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return manifest


def _spread(app: AIApp, topology_key: str) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": topology_key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": names.selector(app.name, ComponentName.API)},
        "matchLabelKeys": ["pod-template-hash"],
    }
