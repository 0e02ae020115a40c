"""What all pods share: Pod Security `restricted`, no token, no service environment, a revision."""

from typing import Any

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build.digest import digest

SERVICE_UID = 1001
DATA_UID = 999  # `postgres` and `redis` in the images that are the defaults
INFERENCE_UID = 1000
SECRET_MODE = 0o440  # readable by the pod's group


def container(name: str, image: str, *, read_only: bool = True, **fields: Any) -> Manifest:
    """A container that passes Pod Security `restricted`.

    The last log lines of a crash become its termination message, which is where status finds them.
    `read_only` is False for images of third parties that write beside their volumes.
    """
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": read_only,
            "capabilities": {"drop": ["ALL"]},
        },
        **fields,
    }


def pod_spec(app: AIApp, uid: int, containers: list[Manifest], **fields: Any) -> Manifest:
    """The spec of a pod that runs as user and group `uid`."""
    return {
        "serviceAccountName": app.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": uid,
            "runAsGroup": uid,
            "fsGroup": uid,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        **fields,
    }


def pod_template(
    app: AIApp, component: ComponentName, entry: str, spec: Manifest, annotations: dict[str, str] | None = None
) -> Manifest:
    """A pod template that carries a digest of itself, so that pods of the current revision can be told from others.

    Nothing in it depends on the version of the operator: an upgrade must not restart anything.
    """
    template: Manifest = {
        "metadata": {"labels": names.labels(app.name, component, entry), "annotations": dict(annotations or {})},
        "spec": spec,
    }
    template["metadata"]["annotations"][names.ANNOTATION_REVISION] = digest(template)
    return template


def revision_of(workload: Manifest) -> str:
    """The revision of the pod template inside a Deployment or StatefulSet; empty where it has none."""
    template = (workload.get("spec") or {}).get("template") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_REVISION, ""))


def empty_dir(name: str, size: str = "", *, memory: bool = False) -> Manifest:
    """A volume that lives as long as its pod; `size` is a canonical quantity, `memory` counts against the limit."""
    settings: Manifest = {}
    if memory:
        settings["medium"] = "Memory"
    if size:
        settings["sizeLimit"] = size
    return {"name": name, "emptyDir": settings}


def mount(volume: str, path: str, *, read_only: bool = False) -> Manifest:
    """A volumeMount."""
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def http_probe(path: str, *, period: int, failures: int, timeout: int = 5) -> Manifest:
    """A probe by HTTP on the port called http; periods and timeouts are seconds."""
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }


def exec_probe(command: list[str], *, period: int, failures: int, timeout: int) -> Manifest:
    """A probe by a command inside the container; periods and timeouts are seconds."""
    return {
        "exec": {"command": command},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }
