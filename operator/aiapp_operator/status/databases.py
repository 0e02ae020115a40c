"""The conditions of databases: whether they are there, answer, have room, and have the schema."""

from aiapp_operator.api import names
from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.facts import Job, JobState, Severity
from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.status import ConditionStatus
from aiapp_operator.status import cloudnativepg, pressure, sleeping, volumes
from aiapp_operator.status.known import FALSE, TRUE, UNKNOWN, Known, Verdict, of_workloads
from aiapp_operator.status.workloads import Report


def dependencies_available(known: Known) -> Verdict | None:
    """The APIs of other operators that the spec needs are served."""
    if known.app.spec.postgres.cloud_native_pg is None:
        return None
    type_ = ConditionType.DEPENDENCIES_AVAILABLE
    if "Cluster" in known.facts.absent_kinds:
        message = (
            "postgres.cloudNativePG needs CloudNativePG, whose API postgresql.cnpg.io/v1 is not served, or not to this "
            "operator: install it (https://cloudnative-pg.io), or make an AIApp with postgres.managed"
        )
        return Verdict(type_, FALSE, "CloudNativePGMissing", message, Severity.STALLED)
    return Verdict(type_, TRUE, "Available", "CloudNativePG is installed")


def postgres_ready(known: Known) -> Verdict:
    """The SQL database answers, or is somebody else's."""
    external = known.app.spec.postgres.external
    type_ = ConditionType.POSTGRES_READY
    if external is not None:
        return _pressed(known, _external(known, type_, external.url_secret_ref.name, external.url_secret_ref.key))
    return _pressed(known, _growing(known, ComponentName.POSTGRES, of_workloads(type_, [postgres_report(known)])))


def postgres_report(known: Known) -> Report:
    """The database that is run for this AIApp."""
    wanted = known.app.spec.postgres.cloud_native_pg
    if wanted is None:
        return known.report("StatefulSet", ComponentName.POSTGRES)
    key = ObjectKey("Cluster", names.part(known.app.name, ComponentName.POSTGRES))
    found = known.facts.clusters.get(key.name)
    if sleeping.rests(known.app, ComponentName.POSTGRES):
        return sleeping.report(ComponentName.POSTGRES, key.kind, found)
    return cloudnativepg.report(ComponentName.POSTGRES, wanted.instances, found, blocked=key in known.blocked)


def redis_ready(known: Known) -> Verdict:
    """Redis answers, or is somebody else's."""
    external = known.app.spec.redis.external
    if external is not None:
        return _external(known, ConditionType.REDIS_READY, external.url_secret_ref.name, external.url_secret_ref.key)
    return _growing(known, ComponentName.REDIS, of_workloads(ConditionType.REDIS_READY, redis_reports(known)))


def _growing(known: Known, component: ComponentName, verdict: Verdict) -> Verdict:
    """A volume that grows is told of while the database serves on."""
    words = volumes.growing(known.facts.claims.get(names.part(known.app.name, component)))
    if not words or verdict.status is not TRUE:
        return verdict
    return Verdict(verdict.type, TRUE, volumes.GROWING, f"{verdict.message}; {words}")


def _pressed(known: Known, verdict: Verdict) -> Verdict:
    """A database that is short of disk or connections, as far as the API can tell, or that cannot start for it."""
    if verdict.status is not TRUE:
        if pressure.NO_SPACE not in verdict.message:
            return verdict
        message = f"{verdict.message}; {pressure.remedy(known.app)}"
        return Verdict(verdict.type, FALSE, pressure.DISK_FULL, message, Severity.STALLED)
    found = pressure.told(known.facts, known.app, known.previous)
    if found is None:
        return verdict
    return Verdict(verdict.type, pressure.status_of(found[0]), found[0], f"{verdict.message}; {found[1]}")


def redis_reports(known: Known) -> list[Report]:
    """The servers of Redis that are run for this AIApp."""
    cache = known.app.spec.cache
    found = [known.report("StatefulSet", ComponentName.REDIS)]
    if cache is not None and cache.exact is not None:
        found.append(known.report("Deployment", ComponentName.REDIS_CACHE))
    return found


def migrated(known: Known) -> Verdict:
    """The database has the schema of the wanted revision."""
    type_ = ConditionType.MIGRATED
    if not known.app.spec.migrations.enabled:
        return Verdict(type_, TRUE, "Disabled", "migrations.enabled is false: the schema is left alone")
    if sleeping.sleeps(known.app):
        return _asleep(known, type_)
    key = next((key for key, planned in known.planned.items() if _is_migration(planned)), None)
    job = known.facts.jobs.get(key.name) if key is not None else None
    if key is None:
        return Verdict(type_, FALSE, "Waiting", "waits for the database", Severity.PROGRESSING)
    if job is None:
        return Verdict(type_, FALSE, "Migrating", "the migration is being started", Severity.PROGRESSING)
    if job.state is JobState.COMPLETE:
        words = f"the schema is at revision {job.result}" if job.result else "the schema is current"
        return Verdict(type_, TRUE, "Migrated", words)
    return _failed_migration(job) if job.state is JobState.FAILED else _running_migration(job)


def _asleep(known: Known, type_: ConditionType) -> Verdict:
    """As it was before."""
    was = sleeping.kept(known.previous, type_)
    if not was:
        return Verdict(type_, UNKNOWN, sleeping.SLEEPING, "not looked at while the app sleeps")
    return Verdict(type_, ConditionStatus(was["status"]), was["reason"], was["message"])


def _is_migration(planned: Manifest) -> bool:
    return planned["kind"] == "Job" and planned["metadata"]["labels"].get(names.LABEL_COMPONENT) not in names.RUNS


def _failed_migration(job: Job) -> Verdict:
    words = job.cause.message if job.cause is not None else "see the Job's events"
    message = (
        f"Job {job.name} failed: {words}. The previous revision, if there is one, serves on. "
        "Correct the cause, then change the spec or delete the Job to try again"
    )
    return Verdict(ConditionType.MIGRATED, FALSE, "MigrationFailed", message, Severity.STALLED)


def _running_migration(job: Job) -> Verdict:
    type_, cause = ConditionType.MIGRATED, job.cause
    if cause is None or cause.severity is Severity.PROGRESSING:
        return Verdict(type_, FALSE, "Migrating", "the migration runs", Severity.PROGRESSING)
    return Verdict(type_, FALSE, cause.reason, f"migrate: {cause.message}", cause.severity)


def _external(known: Known, type_: ConditionType, secret: str, key: str) -> Verdict:
    if secret in known.facts.missing_secrets:
        message = f"Secret {secret} does not exist: create it with the connection URL as {key}"
        return Verdict(type_, FALSE, "SecretMissing", message, Severity.STALLED)
    if (secret, key) in known.facts.missing_keys:
        message = f"Secret {secret} has no key {key}: add it with the connection URL"
        return Verdict(type_, FALSE, "SecretKeyMissing", message, Severity.STALLED)
    return Verdict(type_, TRUE, "External", f"run by somebody else, reached by the URL in Secret {secret}")
