"""Models of model servers: what is downloaded, what is served, what keeps them from it."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from aiapp_operator.api import names
from aiapp_operator.api.facts import Cause, JobState, Progress, Run, Severity
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.quantity import readable
from aiapp_operator.status.workloads import Report

if TYPE_CHECKING:
    from aiapp_operator.status.known import Known

DOWNLOADING = "DownloadingModel"


def report(known: "Known", entry: Inference) -> Report:
    """How a model server is doing; while its downloads are under way, how they are."""
    found = known.report("Deployment", ComponentName.INFERENCE, entry.name)
    key = ObjectKey("Deployment", names.part(known.app.name, ComponentName.INFERENCE, entry.name))
    if key not in known.blocked:
        return found
    causes = [cause for job in known.downloads.get(entry.name, ()) if (cause := _cause(known, job)) is not None]
    worst = max(causes, key=lambda cause: cause.severity, default=_waiting(known, entry))
    serving = known.facts.workloads.get(key)
    if serving is not None and serving.serving > 0:
        worst = replace(worst, message=f"{worst.message}; the previous model serves on")
    return replace(found, cause=worst)


def fields(known: "Known", label: str) -> Manifest:
    """What status.components says of a model server besides its pods."""
    component, _, name = label.partition("/")
    entry = next((entry for entry in known.app.spec.inference if entry.name == name), None)
    if component != ComponentName.INFERENCE or entry is None or entry.model is None:
        return {}
    found: Manifest = {"model": entry.model.source}
    job = next(iter(known.downloads.get(entry.name, ())), "")
    run, progress = known.facts.runs.get(job), known.facts.downloads.get(job)
    revision = _exact(run) or entry.model.revision
    if revision:
        found["revision"] = revision
    if progress is not None and (run is None or run.state is JobState.ACTIVE):
        found["progress"] = _words(progress)
    return found


def gpus(known: "Known", reports: list[Report]) -> str:
    """GPUs of pods that are ready, and of those that should be: 2/4; empty where there are none to be."""
    counts = {
        names.component_label(ComponentName.INFERENCE.value, entry.name): entry.gpu.count
        for entry in known.app.spec.inference
        if entry.gpu is not None
    }
    found = [(counts[report.label], report) for report in reports if report.label in counts]
    ready, desired = (sum(n * r.ready for n, r in found), sum(n * r.desired for n, r in found))
    return f"{ready}/{desired}" if found else ""


def _waiting(known: "Known", entry: Inference) -> Cause:
    claim = known.facts.claims.get(names.inference_cache(known.app.name, entry.name))
    words = "waits for its cache volume" if claim is None or claim.deleting else "the download is being started"
    return Cause(Severity.PROGRESSING, DOWNLOADING, words)


def _cause(known: "Known", job: str) -> Cause | None:
    """What keeps a download from being complete."""
    run, progress = known.facts.runs.get(job), known.facts.downloads.get(job)
    if run is None or run.state is JobState.COMPLETE:
        return None
    # Its last words are of before, where it goes on.
    if progress is not None and progress.done < progress.total:
        return Cause(Severity.PROGRESSING, DOWNLOADING, f"downloading the model: {_words(progress)}")
    if run.cause is not None and run.cause.severity is not Severity.PROGRESSING:
        return replace(run.cause, message=f"the model is not downloaded: {run.cause.message}")
    return Cause(Severity.PROGRESSING, DOWNLOADING, "downloading the model")


def _words(progress: Progress) -> str:
    return f"{readable(progress.done)} of {readable(progress.total)}"


def _exact(run: Run | None) -> str:
    """The revision that the source has told."""
    if run is None or run.state is not JobState.COMPLETE:
        return ""
    try:
        document = json.loads(run.result or "{}")
    except ValueError:
        return ""
    model = document.get("model") if isinstance(document, dict) else None
    return str(model.get("revision", ""))[:128] if isinstance(model, dict) else ""
