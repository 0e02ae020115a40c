"""spec.postgres and spec.redis: the databases an AIApp keeps its state in."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from aiapp_operator.api.backup import Backup, RestoreFrom
from aiapp_operator.api.base import ApiModel, Resources, Rule, SecretKeyRef, Storage


class PostgresVersion(StrEnum):
    """PostgreSQL majors the operator runs."""

    V17 = "17"


class ManagedPostgres(ApiModel):
    """PostgreSQL with pgvector run by the operator: one instance, one volume."""

    version: PostgresVersion = Field(
        default=PostgresVersion.V17,
        description="PostgreSQL major version. Cannot change in place.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self == oldSelf",
                    "message": "version cannot change in place: dump the data into a new AIApp instead",
                }
            ]
        },
    )
    storage: Storage = Field(default_factory=Storage, description="Volume for the data.")
    resources: Resources = Field(default_factory=Resources, description="Compute resources; empty means safe defaults.")


class ExternalPostgres(ApiModel):
    """A PostgreSQL that somebody else runs."""

    url_secret_ref: SecretKeyRef = Field(
        description="Secret entry with a postgresql:// URL. The pgvector extension must be available."
    )
    pool_max: int = Field(default=20, ge=1, le=1000, description="Connections that each API pod opens at most.")


def _one_of(field: str) -> tuple[Rule, ...]:
    return (
        Rule("has(self.managed) != has(self.external)", f"{field}: give exactly one of managed, external"),
        Rule(
            "has(self.managed) == has(oldSelf.managed)",
            f"{field}: managed and external cannot be swapped in place: copy the data into a new AIApp instead",
        ),
    )


class Postgres(ApiModel):
    """The SQL database. Exactly one of its fields is given; managed is the default."""

    managed: ManagedPostgres | None = Field(default=None, description="Run by the operator.")
    external: ExternalPostgres | None = Field(default=None, description="Run by somebody else.")
    backup: Backup | None = Field(default=None, description="Backups into the object store; unset: none.")
    restore_from: RestoreFrom | None = Field(
        default=None,
        description="The backup that a new AIApp comes up from. Can be removed at any time, never added later.",
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        *_one_of("postgres"),
        Rule(
            "!has(self.restoreFrom) || has(oldSelf.restoreFrom)",
            "postgres.restoreFrom is for a new AIApp: give it when the AIApp is created, under another name if need be",
        ),
    )


class ManagedRedis(ApiModel):
    """Redis run by the operator, with append-only persistence."""

    storage: Storage = Field(
        default_factory=lambda: Storage(size="1Gi"), description="Volume for the append-only file."
    )
    resources: Resources = Field(default_factory=Resources, description="Compute resources; empty means safe defaults.")


class ExternalRedis(ApiModel):
    """A Redis that somebody else runs."""

    url_secret_ref: SecretKeyRef = Field(description="Secret entry with a redis:// or rediss:// URL.")


class Redis(ApiModel):
    """The job queue and cache. Exactly one of its fields is given; managed is the default."""

    managed: ManagedRedis | None = Field(default=None, description="Run by the operator.")
    external: ExternalRedis | None = Field(default=None, description="Run by somebody else.")
    cel: ClassVar[tuple[Rule, ...]] = _one_of("redis")
