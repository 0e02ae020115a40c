"""The conditions of the components: a chain of named checks in the order of cause.

Every check takes what is known and gives its verdict, or None where the AIApp has no such component.
"""

from aiapp_operator.api import names
from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.facts import HealthStatus, Severity
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.api.names import ComponentName
from aiapp_operator.errors import Stalled
from aiapp_operator.status import autoscaling, backends, models, sleeping
from aiapp_operator.status.databases import (
    dependencies_available,
    migrated,
    postgres_ready,
    postgres_report,
    redis_ready,
    redis_reports,
)
from aiapp_operator.status.known import FALSE, TRUE, UNKNOWN, Check, Known, Verdict, of_workloads
from aiapp_operator.status.workloads import Report


def reports(known: Known) -> list[Report]:
    """All workloads of the AIApp, in the order of cause."""
    spec = known.app.spec
    found = []
    if spec.postgres.external is None:
        found.append(postgres_report(known))
    if spec.redis.managed is not None:
        found += redis_reports(known)
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


def inference_ready(known: Known) -> Verdict | None:
    """All model servers answer."""
    entries = known.app.spec.inference
    if not entries:
        return None
    return of_workloads(ConditionType.INFERENCE_READY, [models.report(known, entry) for entry in entries])


def api_ready(known: Known) -> Verdict:
    """All API pods of the wanted revision answer."""
    return of_workloads(ConditionType.API_READY, [*_stand_in(known), known.report("Deployment", ComponentName.API)])


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
    return of_workloads(ConditionType.WORKERS_READY, found)


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
