"""apiVersion, kind and metadata of children."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName

API_VERSIONS = {
    "ConfigMap": "v1",
    "PersistentVolumeClaim": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Cluster": "postgresql.cnpg.io/v1",
    "ScaledObject": "keda.sh/v1alpha1",
}


def child(app: AIApp, kind: str, name: str, component: ComponentName | None = None, entry: str = "") -> Manifest:
    """A child of `app` with nothing but its identity and labels; builders add the rest.

    Labels and annotations of the AIApp are not copied: they belong to whoever put them there.
    """
    return {
        "apiVersion": API_VERSIONS[kind],
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": app.namespace,
            "labels": names.labels(app.name, component, entry),
        },
    }


def service_account(app: AIApp) -> Manifest:
    """The identity of all pods. It has no rights and its token is mounted nowhere."""
    return {**child(app, "ServiceAccount", app.name), "automountServiceAccountToken": False}


def service(app: AIApp, component: ComponentName, entry: str, port: int) -> Manifest:
    """A Service in front of one component; the port is called http, postgres or redis by what it speaks."""
    manifest = child(app, "Service", names.part(app.name, component, entry), component, entry)
    manifest["spec"] = {
        "type": "ClusterIP",
        "selector": names.selector(app.name, component, entry),
        "ports": [{"name": port_name(component), "port": port, "protocol": "TCP", "targetPort": port_name(component)}],
    }
    return manifest


def port_name(component: ComponentName) -> str:
    """Name of the port that a component serves on."""
    if component is ComponentName.POSTGRES:
        return "postgres"
    return "redis" if component in {ComponentName.REDIS, ComponentName.REDIS_CACHE} else "http"
