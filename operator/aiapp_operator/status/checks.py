"""The conditions of the components: a chain of named checks in the order of cause.

Every check takes what is known and gives its verdict, or None where the AIApp has no such component.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.facts import Facts, HealthStatus, Job, JobState, Severity
from aiapp_operator.api.manifest import Manifest, ObjectKey, object_key
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import Plan
from aiapp_operator.api.status import ConditionStatus
from aiapp_operator.errors import ReconcileError, Stalled
from aiapp_operator.status import autoscaling, backends, cloudnativepg, models, pressure, sleeping, volumes
from aiapp_operator.status.workloads import Intent, Report, report

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@dataclass(frozen=True)
class Known:
    """All that checks look at."""

    app: AIApp
    facts: Facts
    planned: Mapping[ObjectKey, Manifest]
    blocked: frozenset[ObjectKey]  # by closed gates of the plan
    failure: ReconcileError | None
    previous: Manifest | None = None  # the status as it was
    now: str = ""  # RFC 3339
    downloads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by inference: see Plan

    @classmethod
    def of(
        cls,
        app: AIApp,
        facts: Facts,
        plan: Plan | None,
        failure: ReconcileError | None,
        *,
        previous: Manifest | None = None,
        now: str = "",
    ) -> "Known":
        """Index the plan by key."""
        plan = plan or Plan()
        blocked = frozenset(key for gate in plan.gates if not gate.open for key in gate.blocks)
        planned = {object_key(manifest): manifest for manifest in plan.apply}
        return cls(app, facts, planned, blocked, failure, previous, now, plan.downloads)

    def report(self, kind: str, component: ComponentName, entry: str = "") -> Report:
        """How a workload is doing, against what is planned."""
        key = ObjectKey(kind, names.part(self.app.name, component, entry))
        observed = self.facts.workloads.get(key)
        if sleeping.rests(self.app, component):
            return sleeping.report(names.component_label(component.value, entry), kind, observed)
        replicas = self.app.spec.api.replicas if component is ComponentName.API else 1
        scaled = autoscaling.autoscaled(self.app.spec).get((component, entry))
        if scaled is not None:
            # The autoscaler's own number, which it brings to its bounds without any metric.
            replicas = max(scaled.min_replicas, observed.desired if observed is not None else 0)
        intent = Intent.of(key, replicas, self.planned.get(key), blocked=key in self.blocked)
        return report(names.component_label(component.value, entry), intent, observed)


@dataclass(frozen=True)
class Verdict:
    """A condition without its times. `severity` says how a status other than True is handled; None: it matters not."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str
    severity: Severity | None = None


Check = Callable[[Known], Verdict | None]


def reports(known: Known) -> list[Report]:
    """All workloads of the AIApp, in the order of cause."""
    spec = known.app.spec
    found = []
    if spec.postgres.external is None:
        found.append(_postgres(known))
    if spec.redis.managed is not None:
        found += _redis(known)
    found += [models.report(known, entry) for entry in spec.inference]
    found.append(known.report("Deployment", ComponentName.API))
    found += [known.report("Deployment", ComponentName.WORKER, worker.name) for worker in spec.workers]
    return [*found, *_stand_in(known)]


def _stand_in(known: Known) -> list[Report]:
    return sleeping.stand_in(known.app, known.facts, known.report("Deployment", ComponentName.SLEEPING))


def spec_accepted(known: Known) -> Verdict:
    """The spec can be carried out as it is."""
    if isinstance(known.failure, Stalled):
        failure = known.failure
        return Verdict(ConditionType.SPEC_ACCEPTED, FALSE, failure.reason, failure.message, Severity.STALLED)
    return Verdict(ConditionType.SPEC_ACCEPTED, TRUE, "Accepted", "the spec can be carried out")


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
    return _pressed(known, _growing(known, ComponentName.POSTGRES, _workloads(type_, [_postgres(known)])))


def _postgres(known: Known) -> Report:
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
    return _growing(known, ComponentName.REDIS, _workloads(ConditionType.REDIS_READY, _redis(known)))


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


def _redis(known: Known) -> list[Report]:
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


def inference_ready(known: Known) -> Verdict | None:
    """All model servers answer."""
    entries = known.app.spec.inference
    if not entries:
        return None
    return _workloads(ConditionType.INFERENCE_READY, [models.report(known, entry) for entry in entries])


def api_ready(known: Known) -> Verdict:
    """All API pods of the wanted revision answer."""
    return _workloads(ConditionType.API_READY, [*_stand_in(known), known.report("Deployment", ComponentName.API)])


def backends_healthy(known: Known) -> Verdict:
    """What only the service can know: whether its databases and backends answer it.

    Only what clients notice keeps the AIApp from being Ready: a model that nobody serves, an API that cannot answer.
    """
    type_ = ConditionType.BACKENDS_HEALTHY
    if sleeping.sleeps(known.app):
        return Verdict(type_, UNKNOWN, sleeping.SLEEPING, "not looked at while the app sleeps")
    health = known.facts.backends
    serving = known.facts.workloads.get(ObjectKey("Deployment", names.part(known.app.name, ComponentName.API)))
    if serving is None or serving.serving == 0:
        return Verdict(type_, UNKNOWN, "NoAPI", "no API pod is ready that could be asked")
    if health is None:
        return Verdict(type_, UNKNOWN, "NotKnown", "the API has not been asked yet, or did not answer on /health")
    if health.status is HealthStatus.HEALTHY and not health.unserved:
        return Verdict(type_, TRUE, "Healthy", "databases and backends answer the API")
    reason, message = backends.words(health, known.app.spec)
    degraded = health.status is HealthStatus.DEGRADED and not health.unserved
    return Verdict(type_, FALSE, reason, message, None if degraded else Severity.FAILED)


def workers_ready(known: Known) -> Verdict | None:
    """All workers of the wanted revision run."""
    entries = known.app.spec.workers
    if not entries:
        return None
    found = [known.report("Deployment", ComponentName.WORKER, entry.name) for entry in entries]
    return _workloads(ConditionType.WORKERS_READY, found)


def autoscaling_active(known: Known) -> Verdict | None:
    """Autoscalers get their metrics. Without them pods stay as many as they are, so the AIApp is Ready all the same."""
    type_ = ConditionType.AUTOSCALING_ACTIVE
    wanted = autoscaling.autoscaled(known.app.spec)
    if not wanted:
        return None
    if sleeping.sleeps(known.app):
        return Verdict(type_, UNKNOWN, sleeping.SLEEPING, "nothing is scaled while the app sleeps")
    lacking = [key for key, value in wanted.items() if autoscaling.needs_keda(value)]
    if lacking and "ScaledObject" in known.facts.absent_kinds:
        label = names.component_label(*lacking[0])
        return Verdict(type_, FALSE, "KEDAMissing", f"{label}: {autoscaling.KEDA_MISSING}")
    found = {key: known.facts.autoscalers.get(names.part(known.app.name, *key)) for key in wanted}
    failed = [autoscaling.trouble(*key, hpa) for key, hpa in found.items() if hpa is not None and hpa.active is False]
    if failed:
        return Verdict(type_, FALSE, failed[0][0], "; ".join(message for _, message in failed))
    if any(hpa is None or hpa.active is None for hpa in found.values()):
        return Verdict(type_, UNKNOWN, "Starting", "the autoscaler has not looked at its metrics yet")
    planned = {
        key: known.planned.get(ObjectKey("HorizontalPodAutoscaler", names.part(known.app.name, *key))) for key in wanted
    }
    words = [autoscaling.bounds(*key, value, planned[key]) for key, value in wanted.items()]
    reason = autoscaling.CAPPED if any(autoscaling.capped(manifest) for manifest in planned.values()) else "Active"
    return Verdict(type_, TRUE, reason, "; ".join(words))


CHAIN: tuple[Check, ...] = (
    spec_accepted,
    dependencies_available,
    postgres_ready,
    redis_ready,
    migrated,
    inference_ready,
    api_ready,
    backends_healthy,
    workers_ready,
    autoscaling_active,
)


def verdicts(known: Known) -> list[Verdict]:
    """The verdicts of all checks that apply, in the order of cause."""
    return [verdict for check in CHAIN if (verdict := check(known)) is not None]


def _external(known: Known, type_: ConditionType, secret: str, key: str) -> Verdict:
    if secret in known.facts.missing_secrets:
        message = f"Secret {secret} does not exist: create it with the connection URL as {key}"
        return Verdict(type_, FALSE, "SecretMissing", message, Severity.STALLED)
    if (secret, key) in known.facts.missing_keys:
        message = f"Secret {secret} has no key {key}: add it with the connection URL"
        return Verdict(type_, FALSE, "SecretKeyMissing", message, Severity.STALLED)
    return Verdict(type_, TRUE, "External", f"run by somebody else, reached by the URL in Secret {secret}")


def _workloads(type_: ConditionType, found: list[Report]) -> Verdict:
    """One condition over several workloads: the gravest gives the reason, all that are not ready the message."""
    waiting = [entry for entry in found if entry.cause is not None]
    if not waiting:
        words = "; ".join(entry.summary for entry in found)
        asleep = any(entry.asleep for entry in found)
        return Verdict(type_, FALSE, sleeping.SLEEPING, words) if asleep else Verdict(type_, TRUE, "Ready", words)
    causes = [entry.cause for entry in waiting if entry.cause is not None]
    worst = max(causes, key=lambda cause: cause.severity)
    return Verdict(type_, FALSE, worst.reason, "; ".join(entry.summary for entry in waiting), worst.severity)
