"""spec.postgres.backup and spec.postgres.restoreFrom: copies of the database in the object store."""

from typing import Annotated, ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, Rule, SecretKeyRef


def _field(number: str) -> str:
    item = rf"(\*|({number})(-({number}))?)(/[1-9][0-9]?)?"
    return f"{item}(,{item})*"


_FIELDS = ("[0-5]?[0-9]", "[01]?[0-9]|2[0-3]", "0?[1-9]|[12][0-9]|3[01]", "0?[1-9]|1[0-2]", "[0-6]")
# Five fields of numbers, as CronJobs take them: no names, no @daily.
Schedule = Annotated[str, Field(max_length=128, pattern=f"^{' '.join(_field(field) for field in _FIELDS)}$")]
Retention = Annotated[str, Field(max_length=32, pattern=r"^([1-9][0-9]*[hdw])+$")]
Recipient = Annotated[str, Field(max_length=100, pattern=r"^age1[0-9a-z]{58}$")]
BackupName = Annotated[
    str,
    Field(max_length=32, pattern=r"^(latest|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z)$"),
]
AppName = Annotated[str, Field(max_length=40, pattern=r"^$|^[a-z]([-a-z0-9]*[a-z0-9])?$")]


class Encryption(ApiModel):
    """Encryption of backups with age: written for public keys, read with a private one."""

    recipients: list[Recipient] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="Public age keys (age1...); each of them can open the backups. `age-keygen` makes a pair.",
    )
    identity_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description=(
            "Secret entry with the private age key (AGE-SECRET-KEY-1...) of one recipient, for restore drills. "
            "Keep a copy outside of the cluster: without it the backups are lost."
        ),
    )


class VerifyRestore(ApiModel):
    """Restore drills: the newest backup is restored beside the database, compared table by table, and dropped."""

    enabled: bool = Field(default=True, description="false: nobody knows whether the backups can be restored.")
    schedule: Schedule = Field(default="0 4 * * 0", description="When, as five cron fields in UTC.")


class Backup(ApiModel):
    """Backups of the database into the object store, proven by restore drills."""

    schedule: Schedule = Field(default="0 2 * * *", description="When, as five cron fields in UTC.")
    retention: Retention = Field(
        default="14d",
        description=(
            "How long backups are kept, in hours, days and weeks (36h, 14d, 1w3d). The newest one, and the newest that "
            "a drill has restored, are kept however old they are."
        ),
    )
    encryption: Encryption | None = Field(default=None, description="Unset: backups are stored as they are.")
    verify_restore: VerifyRestore = Field(
        default_factory=VerifyRestore, description="Restore drills, which make the condition BackupVerified true."
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.encryption) || has(self.encryption.identitySecretRef) || !self.verifyRestore.enabled",
            "encryption.identitySecretRef is needed for restore drills: give it, or set verifyRestore.enabled to false",
        ),
    )


class RestoreFrom(ApiModel):
    """The backup that a new AIApp comes up from. Its database has to be empty; it is restored once."""

    backup: BackupName = Field(
        default="latest", description="Name of the backup, which is its time (2026-11-24T02-00-00Z), or latest."
    )
    app: AppName = Field(
        default="",
        description="Name of the AIApp that the backup is of, in the same bucket; empty: of this AIApp's own name.",
    )
    identity_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret entry with the private age key, where the backup is encrypted."
    )
