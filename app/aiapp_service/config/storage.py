"""Where objects are kept, and what clients may upload."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from aiapp_service.config.base import Section

MIB = 1024 * 1024


class ObjectStoreConfig(Section):
    """A bucket behind the S3 API. The files hold the two halves of an access key; a new key is taken in as it comes.

    Without an endpoint it is AWS S3 of the region.
    """

    bucket: str = Field(min_length=3, max_length=255)
    access_key_file: Path
    secret_key_file: Path
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+$")] | None = None
    region: str = "us-east-1"
    path_style: bool | None = Field(
        default=None, description="The bucket in the path, not in the host name; default: where an endpoint is given."
    )
    prefix: str = Field(default="", description="Before the name of each object, as in `team/assistant/`.")

    @property
    def addressing(self) -> str:
        """In the words of the AWS SDKs."""
        wanted = self.endpoint is not None if self.path_style is None else self.path_style
        return "path" if wanted else "virtual"


class FilesConfig(Section):
    """What /v1/files takes."""

    max_bytes: int = Field(default=512 * MIB, ge=1, description="The largest file.")
