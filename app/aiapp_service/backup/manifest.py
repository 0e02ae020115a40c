"""The manifest of a backup: what was written, and what a restored database has to hold."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

FORMAT = 1


class _Part(BaseModel):
    # Fields of a later version are skipped: an older service can still read what it knows.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class TableContent(_Part):
    """What a table held. The checksum does not depend on the order of its rows."""

    name: str
    rows: int = Field(ge=0)
    checksum: str


class DumpFile(_Part):
    """The stored dump: bytes and SHA-256 are those of the object, after encryption."""

    size: int = Field(ge=0)
    sha256: str
    encrypted: bool = False


class Manifest(_Part):
    """One complete backup."""

    format: int = FORMAT
    app: str
    name: str
    time: datetime = Field(description="When it was begun, by the clock of the store.")
    database_time: datetime = Field(description="When its snapshot was taken, by the clock of the database.")
    seconds: float = Field(ge=0)
    server_version: str
    database_size: int = Field(ge=0, description="Bytes that the database took on its disk.")
    roles: tuple[str, ...] = Field(default=(), description="Roles that own what is in it, or may use it.")
    dump: DumpFile
    tables: tuple[TableContent, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    def json_bytes(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json(by_alias=True, indent=2).encode()


class Verification(_Part):
    """A drill that went well; kept beside the manifest, so that retention knows which backup is good."""

    time: datetime
    size: int
    seconds: float
    rows: int
    tables: int
    backup: str

    def json_bytes(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json(by_alias=True).encode()
