"""The parts of a status beside its conditions: counts, components, where to reach the API and the database."""

from aiapp_operator.api import names
from aiapp_operator.api.facts import JobState
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.status import backups, models
from aiapp_operator.status.known import Known
from aiapp_operator.status.workloads import Report
from aiapp_service.config import API_PORT


def fields(known: Known, reports: list[Report]) -> Manifest:
    """Everything but the conditions. Fields that would be empty are left out."""
    app = known.app
    api = next(report for report in reports if report.label == ComponentName.API)
    status: Manifest = {
        "observedGeneration": app.generation,
        "url": f"http://{names.service_host(app.name, app.namespace, ComponentName.API)}:{API_PORT}/v1",
        "replicas": api.pods,
        "selector": ",".join(f"{k}={v}" for k, v in names.selector(app.name, ComponentName.API).items()),
        "api": f"{api.ready}/{api.desired}",
        "components": [{**_component(report), **models.fields(known, report.label)} for report in reports],
        "database": _database(known),
    }
    for field, component in (("workers", ComponentName.WORKER), ("inference", ComponentName.INFERENCE)):
        found = [report for report in reports if report.label.startswith(f"{component.value}/")]
        if found:
            status[field] = f"{sum(r.ready for r in found)}/{sum(r.desired for r in found)}"
    gpus = models.gpus(known, reports)
    return {**status, "gpus": gpus} if gpus else status


def _component(report: Report) -> Manifest:
    component: Manifest = {
        "name": report.label,
        "kind": report.kind,
        "state": report.state.value,
        "ready": report.ready,
        "desired": report.desired,
    }
    if report.cause is not None:
        component["message"] = report.cause.message
    return component


def _database(known: Known) -> Manifest:
    external = known.app.spec.postgres.external
    own = names.database_secret(known.app.name, DatabaseRole.OWNER)
    database: Manifest = {"secretName": external.url_secret_ref.name if external is not None else own}
    complete = [job for job in known.facts.jobs.values() if job.state is JobState.COMPLETE and job.result]
    wanted = [job for job in complete if any(key == ("Job", job.name) for key in known.planned)]
    for job in (*wanted, *complete)[:1]:
        database["migrated"] = job.result
    return {**database, **backups.fields(known)}
