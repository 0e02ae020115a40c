"""spec.objectStore: where files and backups are kept."""

from typing import Annotated

from pydantic import Field

from aiapp_operator.api.base import ApiModel, SecretRef


class S3(ApiModel):
    """A bucket behind the S3 API."""

    endpoint: Annotated[str, Field(max_length=512, pattern=r"^$|^https?://[^\s/?#@]+$")] = Field(
        default="", description="URL of the server, as https://s3.example.com; empty means AWS S3 of the region."
    )
    bucket: Annotated[str, Field(min_length=3, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        description="Name of the bucket. It has to exist."
    )
    region: Annotated[str, Field(max_length=64)] = Field(default="", description="Region; empty means us-east-1.")
    credentials_secret_ref: SecretRef = Field(
        description="Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    )


class ObjectStore(ApiModel):
    """The object store."""

    s3: S3 = Field(description="A bucket behind the S3 API.")
