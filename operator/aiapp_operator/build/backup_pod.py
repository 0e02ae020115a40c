"""Pods that work on backups: the service's image in a role of its own, as the database's superuser.

What they are told is on their command line and not in the ConfigMap, which comes with a revision of the service: a
restore is before the first of them.
"""

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.base import SecretKeyRef
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.build import credentials, service_pod, service_storage
from aiapp_operator.build.credentials import Credential
from aiapp_operator.build.pod import SERVICE_UID, container, empty_dir, mount, pod_spec, pod_template
from aiapp_operator.config import Settings
from aiapp_operator.errors import Stalled

IDENTITY = "backup/identity"
ATTEMPTS_AGAIN = 2
# A run that takes longer hangs; without an end it would keep every later one from starting.
DEADLINE_SECONDS = 6 * 3600
# Parts of an upload are in memory, two of them.
_RESOURCES = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}


def job_spec(
    app: AIApp,
    settings: Settings,
    component: ComponentName,
    role: list[str],
    of: str,
    identity: SecretKeyRef | None,
    arguments: list[str],
) -> Manifest:
    """The spec of a Job that runs `role` on backups of the app named `of`; dumps pass through it as streams.

    Raises:
        Stalled: there is no object store.
    """
    image = service_pod.image(app, settings)
    database = credentials.postgres_credential(app, DatabaseRole.SUPERUSER)
    secrets = (database, *credentials.object_store_credentials(app), *_identity(identity))
    store = service_storage.object_store(app)
    if store is None:
        raise Stalled("InvalidSpec", "spec.objectStore: backups need an object store: set objectStore.s3")
    command = [
        service_pod.COMMAND,
        *role,
        "--app",
        of,
        "--url-file",
        database.file,
        "--store",
        store.model_dump_json(by_alias=True, exclude_defaults=True),
    ]
    if identity is not None:
        command += ["--identity-file", secrets[-1].file]
    main = container(
        component.value,
        image,
        command=[*command, *arguments],
        resources=_RESOURCES,
        volumeMounts=[credentials.credentials_mount(), mount("tmp", "/tmp")],  # noqa: S108  # inside the container
    )
    spec = pod_spec(
        app,
        SERVICE_UID,
        [main],
        restartPolicy="Never",
        initContainers=[credentials.check_secrets(image, secrets)],
        volumes=[credentials.credentials_volume(secrets), empty_dir("tmp", "64Mi")],
    )
    return {
        "backoffLimit": ATTEMPTS_AGAIN,
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "completions": 1,
        "parallelism": 1,
        "template": pod_template(app, component, "", spec),
    }


def used(app: AIApp) -> list[ComponentName]:
    """The components of this kind that the app has."""
    found = [ComponentName.BACKUP, ComponentName.VERIFY] if app.spec.postgres.backup is not None else []
    return [*found, ComponentName.RESTORE] if app.spec.postgres.restore_from is not None else found


def _identity(reference: SecretKeyRef | None) -> tuple[Credential, ...]:
    return () if reference is None else (Credential(reference.name, reference.key, IDENTITY),)


def annotation(app: AIApp, name: str) -> str:
    """The value of an annotation that the user of the AIApp sets; empty where there is none."""
    return str((app.metadata.get("annotations") or {}).get(name, ""))
