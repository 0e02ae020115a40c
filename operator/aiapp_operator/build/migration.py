"""The migration Job: brings the database to the schema of one revision of the service.

It is named by a digest of its intent. That name is the only memory there is: a Job that is complete
is never run again, a failed one only when something of its intent changes.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.build import credentials, service_pod
from aiapp_operator.build.digest import digest
from aiapp_operator.build.metadata import child
from aiapp_operator.build.pod import SERVICE_UID, container, empty_dir, mount, pod_spec, pod_template
from aiapp_operator.config import Settings

ATTEMPTS_AGAIN = 2
_RESOURCES = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def job(app: AIApp, settings: Settings, database_uid: str = "") -> Manifest:
    """The Job for the wanted revision.

    `database_uid` names the volume of a managed database: on another volume the same revision is due again.
    """
    spec = {
        "backoffLimit": ATTEMPTS_AGAIN,
        "completions": 1,
        "parallelism": 1,
        "template": pod_template(app, ComponentName.MIGRATE, "", _pod(app, settings)),
    }
    manifest = child(app, "Job", names.migration(app.name, digest(spec)), ComponentName.MIGRATE)
    if database_uid:
        manifest["metadata"]["annotations"] = {names.ANNOTATION_DATABASE: database_uid}
    manifest["spec"] = spec
    return manifest


def _pod(app: AIApp, settings: Settings) -> Manifest:
    image = service_pod.image(app, settings)
    database = (credentials.postgres_credential(app, DatabaseRole.OWNER),)
    main = container(
        ComponentName.MIGRATE.value,
        image,
        command=[service_pod.COMMAND, "migrate", "--url-file", database[0].file],
        **_claim(app),
        resources=_RESOURCES,
        volumeMounts=[credentials.credentials_mount(), mount("tmp", "/tmp")],  # noqa: S108  # inside the container
    )
    return pod_spec(
        app,
        SERVICE_UID,
        [main],
        restartPolicy="Never",
        initContainers=[credentials.check_secrets(image, database)],
        volumes=[credentials.credentials_volume(database), empty_dir("tmp", "1Gi")],
    )


def _claim(app: AIApp) -> Manifest:
    """Where people choose the database they may choose one for two apps: the second is refused.

    A variable, not an argument: an older image of the service does not know it.
    """
    if app.spec.postgres.external is None:
        return {}
    return {"env": [{"name": "AIAPP_DATABASE_OF", "value": f"{app.namespace}/{app.name}"}]}
