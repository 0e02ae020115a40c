"""What managed Postgres and Redis have in common: the volume, its generated Secret, the StatefulSet around a pod.

The volume is an object of its own, not made by the StatefulSet: so it can grow, and its owner follows
deletionPolicy. The Secret is owned by the volume: the password lives exactly as long as the data.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp, DeletionPolicy
from aiapp_operator.api.base import Storage
from aiapp_operator.api.facts import Claim
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import GeneratedSecret
from aiapp_operator.api.quantity import canonical, parse
from aiapp_operator.build.metadata import child, port_name
from aiapp_operator.build.pod import DATA_UID, SECRET_MODE, container, pod_spec, pod_template

SECRET_DIR = "/etc/aiapp/secret"  # noqa: S105  # a path
CHECK = "check-secrets"


def claim(
    app: AIApp, component: ComponentName, storage: Storage, found: Claim | None, *, name: str, entry: str = ""
) -> Manifest:
    """The volume. Under Retain nothing owns it, so that deleting the AIApp leaves it.

    A retained volume that is larger than what is asked for stays as large: volumes cannot shrink.
    """
    manifest = child(app, "PersistentVolumeClaim", name, component, entry)
    if app.spec.deletion_policy is DeletionPolicy.RETAIN:
        manifest["metadata"]["ownerReferences"] = []
    size = storage.size
    if found is not None and found.requested and parse(found.requested) > parse(size):
        size = found.requested
    manifest["spec"] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": canonical(size)}},
    }
    if storage.storage_class_name:
        manifest["spec"]["storageClassName"] = storage.storage_class_name
    return manifest


def claim_reference(app: AIApp, component: ComponentName, uid: str) -> Manifest | None:
    """The ownerReference to the volume with `uid`; None where the uid is not known (offline)."""
    name = names.part(app.name, component)
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name, "uid": uid} if uid else None


def generated_secret(app: AIApp, component: ComponentName, claim_uid: str, template: dict[str, str]) -> GeneratedSecret:
    """The Secret with the password of the data on the volume with `claim_uid`; empty: not known (offline)."""
    return GeneratedSecret(
        name=names.part(app.name, component),
        namespace=app.namespace,
        labels=names.labels(app.name, component),
        owner=claim_reference(app, component, claim_uid),
        template=template,
    )


def stateful_set(
    app: AIApp,
    component: ComponentName,
    main: Manifest,
    volumes: list[Manifest],
    *,
    secrets: dict[str, str],
    grace: int,
) -> Manifest:
    """One pod with the volume, which starts only when its Secrets exist. `grace` is seconds.

    `secrets` are names of Secrets by the folder below SECRET_DIR that they are mounted in; "" is SECRET_DIR itself.
    """
    name = names.part(app.name, component)
    manifest = child(app, "StatefulSet", name, component)
    spec = pod_spec(
        app,
        DATA_UID,
        [main],
        initContainers=[check(main["image"], secrets)],
        volumes=[_claim_volume(name), secrets_volume(secrets), *volumes],
        terminationGracePeriodSeconds=grace,
    )
    manifest["spec"] = {
        "replicas": 1,
        "serviceName": name,
        # OrderedReady would never replace a pod that cannot start, not even when its cause was mended.
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": names.selector(app.name, component)},
        "template": pod_template(app, component, "", spec),
    }
    return manifest


def check(image: str, secrets: dict[str, str]) -> Manifest:
    """The init container that starts only when all of `secrets` exist."""
    return container(
        CHECK,
        image,
        command=["/bin/true"],
        env=[
            {"name": f"SECRET_{i}", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}}
            for i, secret in enumerate(secrets.values())
        ],
        resources={"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    )


def port(component: ComponentName, number: int) -> Manifest:
    """The container's port."""
    return {"name": port_name(component), "containerPort": number, "protocol": "TCP"}


def _claim_volume(claim_name: str) -> Manifest:
    return {"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}


def secrets_volume(secrets: dict[str, str]) -> Manifest:
    """Secrets by the folder that they are mounted in."""
    # Only names and passwords: the rest of a Secret is for clients.
    sources = [
        {
            "secret": {
                "name": secret,
                "items": [{"key": key, "path": f"{folder}/{key}".lstrip("/")} for key in ("username", "password")],
                "optional": True,
            }
        }
        for folder, secret in secrets.items()
    ]
    return {"name": "secret", "projected": {"defaultMode": SECRET_MODE, "sources": sources}}
