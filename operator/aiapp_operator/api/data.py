"""spec.postgres and spec.redis: the databases an AIApp keeps its state in."""

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field

from aiapp_operator.api.backup import Backup, RestoreFrom
from aiapp_operator.api.base import ApiModel, Resources, Rule, SecretKeyRef, Storage


class PostgresVersion(StrEnum):
    """PostgreSQL majors the operator runs."""

    V17 = "17"


_FIXED_VERSION: dict[str, Any] = {
    "x-kubernetes-validations": [
        {
            "rule": "self == oldSelf",
            "message": "version cannot change in place: dump the data into a new AIApp instead",
        }
    ]
}


class ManagedPostgres(ApiModel):
    """PostgreSQL with pgvector run by the operator: one instance, one volume."""

    version: PostgresVersion = Field(
        default=PostgresVersion.V17,
        description="PostgreSQL major version. Cannot change in place.",
        json_schema_extra=_FIXED_VERSION,
    )
    storage: Storage = Field(default_factory=Storage, description="Volume for the data.")
    resources: Resources = Field(default_factory=Resources, description="Compute resources; empty means safe defaults.")


class CloudNativePG(ApiModel):
    """PostgreSQL with pgvector run by CloudNativePG: several instances with failover.

    Needs the CloudNativePG operator on the cluster.
    """

    instances: int = Field(
        default=3,
        ge=1,
        le=9,
        description="Servers, one of them the primary. From two on a commit is on two of them when it is confirmed.",
    )
    version: PostgresVersion = Field(
        default=PostgresVersion.V17,
        description="PostgreSQL major version. Cannot change in place.",
        json_schema_extra=_FIXED_VERSION,
    )
    storage: Storage = Field(default_factory=Storage, description="Volume of each instance.")
    resources: Resources = Field(
        default_factory=Resources, description="Compute resources of each instance; empty means safe defaults."
    )


class ExternalPostgres(ApiModel):
    """A PostgreSQL that somebody else runs."""

    url_secret_ref: SecretKeyRef = Field(
        description="Secret entry with a postgresql:// URL. The pgvector extension must be available."
    )
    pool_max: int = Field(default=20, ge=1, le=1000, description="Connections that each pod of API and workers opens.")
    max_connections: int | None = Field(
        default=None,
        ge=20,
        le=100_000,
        description="max_connections of the server, or what this application may use of it: pods are bounded by it. "
        "Unset: they are not.",
    )


def _one_of(field: str, *choices: str) -> tuple[Rule, ...]:
    given = " + ".join(f"(has(self.{choice}) ? 1 : 0)" for choice in choices)
    same = " && ".join(f"has(self.{choice}) == has(oldSelf.{choice})" for choice in choices)
    listed = " and ".join((", ".join(choices[:-1]), choices[-1]))
    return (
        Rule(f"{given} == 1", f"{field}: give exactly one of {', '.join(choices)}"),
        Rule(same, f"{field}: {listed} cannot be swapped in place: copy the data into a new AIApp instead"),
    )


class Postgres(ApiModel):
    """The SQL database. Exactly one of its fields is given; managed is the default."""

    managed: ManagedPostgres | None = Field(default=None, description="Run by the operator.")
    cloud_native_pg: CloudNativePG | None = Field(
        default=None,
        alias="cloudNativePG",
        description="Run by CloudNativePG, which has to be installed: several instances with failover.",
    )
    external: ExternalPostgres | None = Field(default=None, description="Run by somebody else.")
    backup: Backup | None = Field(default=None, description="Backups into the object store; unset: none.")
    restore_from: RestoreFrom | None = Field(
        default=None,
        description="The backup that a new AIApp comes up from. Can be removed at any time, never added later.",
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        *_one_of("postgres", "managed", "cloudNativePG", "external"),
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
    cache_resources: Resources = Field(
        default_factory=Resources,
        description=(
            "Compute resources of the second server, which is made for cache.exact: answers in it are evicted when "
            "its memory is full. Empty means safe defaults."
        ),
    )


class ExternalRedis(ApiModel):
    """A Redis that somebody else runs."""

    url_secret_ref: SecretKeyRef = Field(description="Secret entry with a redis:// or rediss:// URL.")


class Redis(ApiModel):
    """The job queue and cache. Exactly one of its fields is given; managed is the default."""

    managed: ManagedRedis | None = Field(default=None, description="Run by the operator.")
    external: ExternalRedis | None = Field(default=None, description="Run by somebody else.")
    cel: ClassVar[tuple[Rule, ...]] = _one_of("redis", "managed", "external")
