"""spec.objectStore and spec.api.files: where files and backups are kept, and how large a file may be."""

from typing import Annotated, ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, Quantity, Rule, SecretRef


class S3(ApiModel):
    """A bucket of AWS S3, or of any store with its API. The bucket has to exist."""

    endpoint: Annotated[str, Field(max_length=2048, pattern=r"^$|^https?://[^\s/?#@]+$")] = Field(
        default="", description="Address of the store, as https://s3.example.com; empty means AWS S3 of the region."
    )
    bucket: Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")] = Field(
        description="Name of the bucket. It has to exist."
    )
    region: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9-]*$")] = Field(
        default="", description="Region of the bucket; needed for AWS S3, other stores mostly do without."
    )
    prefix: Annotated[str, Field(max_length=256, pattern=r"^$|^[A-Za-z0-9][A-Za-z0-9_.-]*/([A-Za-z0-9_.-]+/)*$")] = (
        Field(default="", description="Folder for the objects of this AIApp inside the bucket, as team/assistant/.")
    )
    path_style: bool | None = Field(
        default=None,
        description=(
            "true: the bucket is named in the path of an address, false: in its host name. Unset: in the path where "
            "endpoint is given."
        ),
    )
    credentials_secret_ref: SecretRef = Field(
        description=(
            "Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. A new access key is taken in without a "
            "restart."
        )
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.endpoint != '' || self.region != ''",
            "objectStore.s3: give endpoint, or for AWS S3 the region of the bucket",
        ),
    )


class ObjectStore(ApiModel):
    """Where files are kept."""

    s3: S3 = Field(description="A bucket behind the S3 API.")


class Files(ApiModel):
    """What clients may upload with /v1/files."""

    max_size: Quantity = Field(
        default="512Mi",
        description="The largest file.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "quantity(string(self)).compareTo(quantity('1')) >= 0 && "
                    "quantity(string(self)).compareTo(quantity('64Gi')) <= 0",
                    "message": "files.maxSize has to be from 1 to 64Gi",
                }
            ]
        },
    )
