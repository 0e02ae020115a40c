"""Where the parts of an AIApp reach each other: names and ports of Services inside the cluster."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.names import ComponentName

POSTGRES_PORT = 5432
REDIS_PORT = 6379


def host(app: AIApp, component: ComponentName, entry: str = "") -> str:
    """DNS name of a Service; it needs no cluster domain, since pods search for it."""
    return names.service_host(app.name, app.namespace, component, entry)


def inference_url(app: AIApp, inference: Inference) -> str:
    """Base URL of a model server, with the version part."""
    return f"http://{host(app, ComponentName.INFERENCE, inference.name)}:{inference.port}/v1"


def inference_pods(app: AIApp, inference: Inference) -> str:
    """DNS name that resolves to the address of each ready pod of a model server; empty where there is one pod."""
    if inference.autoscaling is None:
        return ""
    return f"{names.inference_pods(app.name, inference.name)}.{app.namespace}.svc"
