"""Prometheus and prometheus-adapter on a cluster, with the configuration that config/autoscaling has for users."""

from pathlib import Path
from typing import Any

from rich.console import Console

from tests.cluster.paths import REPOSITORY
from tests.cluster.provider import Cluster
from tests.cluster.steps import step
from tests.stack.kube import Kube, Manifest
from tests.stack.wait import wait_until

NAMESPACE = "monitoring"
CONFIG = REPOSITORY / "config" / "autoscaling"
_PROMETHEUS, _ADAPTER = "prometheus", "prometheus-adapter"
_PORTS = {_PROMETHEUS: 9090, _ADAPTER: 6443}
_SCRATCH = "/scratch"
_APIS = ("custom.metrics.k8s.io/v1beta1", "custom.metrics.k8s.io/v1beta2", "external.metrics.k8s.io/v1beta1")


def install(cluster: Cluster, kube: Kube, console: Console) -> None:
    """Bring both up and wait until the metrics APIs are served. Again is fine.

    Raises:
        TimeoutError: they did not come up; the message has their pods.
    """
    images = cluster.load_images((_PROMETHEUS, _ADAPTER), console)
    with step(console, "Installing Prometheus and prometheus-adapter"):
        kube.namespace(NAMESPACE)
        for manifest in _manifests(images):
            kube.apply(manifest)
        wait_until(
            "the metrics APIs are served",
            lambda: all(_is_served(kube, api) for api in _APIS),
            seconds=180,
            seen=lambda: kube.kubectl("-n", NAMESPACE, "get", "pods", "-o", "wide", check=False),
        )


def remove_adapter(kube: Kube) -> None:
    """Take the metrics APIs away, as on a cluster that never had them."""
    for api in _APIS:
        group, _, version = api.partition("/")
        kube.delete("APIService", f"{version}.{group}")


def restore_adapter(kube: Kube) -> None:
    """Bring the metrics APIs back."""
    for manifest in _api_services():
        kube.apply(manifest)


def _is_served(kube: Kube, api: str) -> bool:
    group, _, version = api.partition("/")
    found = kube.get("APIService", f"{version}.{group}") or {}
    conditions = (found.get("status") or {}).get("conditions", [])
    return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)


def _manifests(images: dict[str, str]) -> list[Manifest]:
    scrape, rules = (_text(CONFIG / name) for name in ("prometheus.yaml", "prometheus-adapter.yaml"))
    return [
        *_rights(),
        _config_map(_PROMETHEUS, "prometheus.yml", scrape),
        _config_map(_ADAPTER, "config.yaml", rules),
        _deployment(
            _PROMETHEUS,
            images[_PROMETHEUS],
            [
                "--config.file=/config/prometheus.yml",
                f"--storage.tsdb.path={_SCRATCH}",
                "--storage.tsdb.retention.time=1h",
            ],
        ),
        _deployment(
            _ADAPTER,
            images[_ADAPTER],
            [
                "--config=/config/config.yaml",
                f"--prometheus-url=http://{_PROMETHEUS}.{NAMESPACE}.svc:{_PORTS[_PROMETHEUS]}/",
                "--metrics-relist-interval=5s",
                f"--secure-port={_PORTS[_ADAPTER]}",
                f"--cert-dir={_SCRATCH}",
            ],
        ),
        *(_service(name) for name in (_PROMETHEUS, _ADAPTER)),
        *_api_services(),
    ]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _named(kind: str, name: str, api_version: str = "v1", *, namespaced: bool = True) -> Manifest:
    place = {"namespace": NAMESPACE} if namespaced else {}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **place}}


def _config_map(name: str, file: str, text: str) -> Manifest:
    return {**_named("ConfigMap", name), "data": {file: text}}


def _deployment(name: str, image: str, args: list[str]) -> Manifest:
    labels = {"app": name}
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        # An image of one program has no folder for temporary files.
        "env": [{"name": "TMPDIR", "value": _SCRATCH}],
        "ports": [{"name": "serve", "containerPort": _PORTS[name], "protocol": "TCP"}],
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "scratch", "mountPath": _SCRATCH}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {
        "serviceAccountName": NAMESPACE,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}, {"name": "scratch", "emptyDir": {}}],
    }
    return {
        **_named("Deployment", name, "apps/v1"),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _service(name: str) -> Manifest:
    port = 443 if name == _ADAPTER else _PORTS[name]
    return {
        **_named("Service", name),
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": "serve", "protocol": "TCP"}]},
    }


def _api_services() -> list[Manifest]:
    found = []
    for api in _APIS:
        group, _, version = api.partition("/")
        manifest = _named("APIService", f"{version}.{group}", "apiregistration.k8s.io/v1", namespaced=False)
        manifest["spec"] = {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 200 if version == "v1beta2" else 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": _ADAPTER, "namespace": NAMESPACE, "port": 443},
        }
        found.append(manifest)
    return found


def _rights() -> list[Manifest]:
    """Of both: what Prometheus looks for, and what an aggregated API server needs."""
    rbac = "rbac.authorization.k8s.io/v1"
    subject = {"kind": "ServiceAccount", "name": NAMESPACE, "namespace": NAMESPACE}
    group = rbac.partition("/")[0]
    role = _named("ClusterRole", NAMESPACE, rbac, namespaced=False)
    role["rules"] = [
        {"apiGroups": [""], "resources": ["pods", "services", "namespaces", "nodes"], "verbs": ["get", "list", "watch"]}
    ]

    def bound(name: str, to: str) -> Manifest:
        binding = _named("ClusterRoleBinding", name, rbac, namespaced=False)
        return {**binding, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": to}, "subjects": [subject]}

    reader = _named("RoleBinding", f"{NAMESPACE}-auth-reader", rbac)
    reader["metadata"]["namespace"] = "kube-system"
    reader |= {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "extension-apiserver-authentication-reader"},
        "subjects": [subject],
    }
    return [
        _named("ServiceAccount", NAMESPACE),
        role,
        bound(NAMESPACE, NAMESPACE),
        bound(f"{NAMESPACE}-delegator", "system:auth-delegator"),
        reader,
    ]
