"""The object store as pods reach it: the service's own configuration of it, and its access key as files."""

from pathlib import Path

from aiapp_operator.api.app import AIApp
from aiapp_operator.build.credentials import Credential
from aiapp_operator.errors import Stalled
from aiapp_service.config import ObjectStoreConfig

ACCESS_KEY = "object-store/access-key"
SECRET_KEY = "object-store/secret-key"  # noqa: S105  # a path


def object_store_credentials(app: AIApp) -> tuple[Credential, ...]:
    """Both halves of the access key; none where there is no object store."""
    if app.spec.object_store is None:
        return ()
    secret = app.spec.object_store.s3.credentials_secret_ref.name
    return Credential(secret, "AWS_ACCESS_KEY_ID", ACCESS_KEY), Credential(secret, "AWS_SECRET_ACCESS_KEY", SECRET_KEY)


def object_store_config(app: AIApp) -> ObjectStoreConfig:
    """The section of the service's configuration.

    Raises:
        Stalled: there is no object store.
    """
    if app.spec.object_store is None:
        raise Stalled("InvalidSpec", "spec.objectStore: backups need one: set objectStore.s3")
    s3 = app.spec.object_store.s3
    access, secret = object_store_credentials(app)
    config = ObjectStoreConfig(
        bucket=s3.bucket,
        access_key_file=Path(access.file),
        secret_key_file=Path(secret.file),
        endpoint=s3.endpoint or None,
    )
    return config.model_copy(update={"region": s3.region}) if s3.region else config
