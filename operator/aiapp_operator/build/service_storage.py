"""spec.objectStore and spec.api.files -> the sections of the service's configuration."""

from pathlib import Path

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.quantity import parse
from aiapp_operator.build import credentials
from aiapp_service import config as service


def object_store(app: AIApp) -> service.ObjectStoreConfig | None:
    """Where objects are kept; None: nowhere."""
    if app.spec.object_store is None:
        return None
    s3 = app.spec.object_store.s3
    access, secret = credentials.object_store_credentials(app)
    # A region that is not given is the service's default.
    given = {"region": s3.region} if s3.region else {}
    return service.ObjectStoreConfig(
        endpoint=s3.endpoint or None,
        bucket=s3.bucket,
        prefix=s3.prefix,
        path_style=s3.path_style,
        access_key_file=Path(access.file),
        secret_key_file=Path(secret.file),
        **given,
    )


def files(app: AIApp) -> service.FilesConfig:
    """What clients may upload."""
    wanted = app.spec.api.files
    return service.FilesConfig() if wanted is None else service.FilesConfig(max_bytes=int(parse(wanted.max_size)))
