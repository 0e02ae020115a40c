"""NetworkPolicies: databases and model servers are reachable from the pods of their own AIApp only."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build import backup_pod
from aiapp_operator.build.addresses import POSTGRES_PORT, REDIS_PORT
from aiapp_operator.build.metadata import child

_CNPG_STATUS_PORT = 8000


def postgres(app: AIApp) -> Manifest:
    """From the service, its migrations and its backups; Postgres itself talks to nobody."""
    clients = [ComponentName.API, ComponentName.MIGRATE, ComponentName.WORKER, *backup_pod.used(app)]
    return _policy(app, ComponentName.POSTGRES, "", clients, POSTGRES_PORT, egress=False)


def cloudnativepg(app: AIApp) -> Manifest:
    """From the service, its migrations, the other instances and CloudNativePG itself, wherever that runs.

    Outgoing traffic is left alone: instances ask the API server what they are to do.
    """
    manifest = postgres(app)
    pods = {names.LABEL_CNPG_CLUSTER: names.part(app.name, ComponentName.POSTGRES)}
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "cloudnative-pg"}}}
    manifest["spec"]["podSelector"] = {"matchLabels": pods}
    manifest["spec"]["policyTypes"] = ["Ingress"]
    manifest["spec"]["ingress"].append(
        {
            "from": [{"podSelector": {"matchLabels": pods}}, operator],
            "ports": [{"port": port, "protocol": "TCP"} for port in (POSTGRES_PORT, _CNPG_STATUS_PORT)],
        }
    )
    return manifest


def redis(app: AIApp) -> Manifest:
    """From the service; Redis itself talks to nobody."""
    clients = [ComponentName.API, ComponentName.WORKER]
    return _policy(app, ComponentName.REDIS, "", clients, REDIS_PORT, egress=False)


def redis_cache(app: AIApp) -> Manifest:
    """From the service, as for the other Redis."""
    clients = [ComponentName.API, ComponentName.WORKER]
    return _policy(app, ComponentName.REDIS_CACHE, "", clients, REDIS_PORT, egress=False)


def inference(app: AIApp, entry: Inference) -> Manifest:
    """From the service. Outgoing traffic is left alone unless the model is on the cache volume before a pod starts."""
    clients = [ComponentName.API, ComponentName.WORKER]
    return _policy(app, ComponentName.INFERENCE, entry.name, clients, entry.port, egress=entry.cache is None)


def _policy(
    app: AIApp, component: ComponentName, entry: str, clients: list[ComponentName], port: int, *, egress: bool
) -> Manifest:
    manifest = child(app, "NetworkPolicy", names.part(app.name, component, entry), component, entry)
    peer = {
        "matchLabels": {names.LABEL_APP: app.name},
        "matchExpressions": [
            {"key": names.LABEL_COMPONENT, "operator": "In", "values": [client.value for client in clients]}
        ],
    }
    manifest["spec"] = {
        "podSelector": {"matchLabels": names.selector(app.name, component, entry)},
        # A direction that is listed without a rule for it is closed.
        "policyTypes": ["Ingress"] if egress else ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": peer}], "ports": [{"port": port, "protocol": "TCP"}]}],
    }
    return manifest
