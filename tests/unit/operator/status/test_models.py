"""What a status says of models: how far they are downloaded, why they are not, what is served."""

import json
from dataclasses import replace

import pytest

from aiapp_operator.api.facts import Cause, Claim, Facts, JobState, Progress, Run, Severity, Workload
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build.plan import desired
from aiapp_operator.runtime.downloads import coarse
from aiapp_operator.status.conditions import evaluate
from aiapp_operator.status.observe import observe
from aiapp_operator.status.pod_causes import cause_of
from tests.unit.operator.examples import SETTINGS, make_app

VOLUME = "shop-inference-m-cache"
POD = ObjectKey("Deployment", "shop-inference-m")
GIB = 1024**3
APP = make_app(
    inference=[
        {
            "name": "m",
            "engine": "vLLM",
            "model": {"source": "hf://org/name", "revision": "main"},
            "cache": {"size": "5Gi"},
            "gpu": {"count": 2},
        }
    ]
)
VOLUME_SEEN = Facts(claims={VOLUME: Claim(VOLUME, "uid")})


def job():
    plan = desired(APP, VOLUME_SEEN, SETTINGS)
    return next(
        m["metadata"]["name"] for m in plan.apply if m["metadata"]["labels"].get("aiapp.dev/component") == "model"
    )


def facts(state=JobState.ACTIVE, cause=None, result="", progress=None, serving=0):
    name = job()
    run = Run(name, ComponentName.MODEL, state, database="uid", cause=cause, result=result)
    told = {} if progress is None else {name: Progress(*progress)}
    workloads = {POD: Workload(POD, "old", 1, True, serving, serving, serving)} if serving else {}
    return replace(VOLUME_SEEN, runs={name: run}, downloads=told, workloads=workloads)


def status(known):
    return evaluate(APP, known, desired(APP, known, SETTINGS), None, previous=None, now="2026-01-01T00:00:00Z")


def inference_ready(known):
    return next(c for c in status(known)["conditions"] if c["type"] == "InferenceReady")


def component(known):
    return next(c for c in status(known)["components"] if c["name"] == "inference/m")


REFUSED = Cause(Severity.FAILED, "ModelRefused", "set model.secretRef")


@pytest.mark.parametrize(
    ("known", "reason", "message"),
    [
        (Facts(), "DownloadingModel", "m: 0/1 pods: waits for its cache volume"),
        (VOLUME_SEEN, "DownloadingModel", "m: 0/1 pods: the download is being started"),
        (facts(), "DownloadingModel", "m: 0/1 pods: downloading the model"),
        (
            facts(progress=(GIB, 4 * GIB)),
            "DownloadingModel",
            "m: 0/1 pods: downloading the model: 1.0 GiB of 4.0 GiB",
        ),
        (facts(cause=REFUSED), "ModelRefused", "m: 0/1 pods: the model is not downloaded: set model.secretRef"),
        (
            facts(cause=REFUSED, progress=(GIB, 4 * GIB)),
            "DownloadingModel",
            "m: 0/1 pods: downloading the model: 1.0 GiB of 4.0 GiB",
        ),
        (
            facts(cause=REFUSED, serving=1),
            "ModelRefused",
            "m: 1/1 pods: the model is not downloaded: set model.secretRef; the previous model serves on",
        ),
    ],
)
def test_the_condition_says_how_far_it_is_or_why_not(known, reason, message):
    condition = inference_ready(known)
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", reason, message)


def test_components_carry_model_revision_and_progress():
    found = component(facts(progress=(GIB, 4 * GIB)))
    assert (found["model"], found["revision"], found["progress"]) == ("hf://org/name", "main", "1.0 GiB of 4.0 GiB")
    done = component(facts(JobState.COMPLETE, result=json.dumps({"model": {"revision": "0123abc", "bytes": 7}})))
    assert done["revision"] == "0123abc", "the exact one, once it is known"
    assert "progress" not in done


def test_gpus_are_counted():
    assert status(Facts())["gpus"] == "0/2"
    plan = desired(APP, facts(JobState.COMPLETE), SETTINGS)
    wanted = next(m for m in plan.apply if m["metadata"]["name"] == POD.name and m["kind"] == "Deployment")
    revision = wanted["spec"]["template"]["metadata"]["annotations"]["aiapp.dev/revision"]
    running = replace(facts(JobState.COMPLETE), workloads={POD: Workload(POD, revision, 1, True, 1, 1, 1)})
    assert status(running)["gpus"] == "2/2"


def ended(message, **state):
    labels = {"aiapp.dev/component": "model", "aiapp.dev/name": "m", "batch.kubernetes.io/job-name": job()}
    container = {"name": "model", "ready": True, "state": state, "lastState": {"terminated": {"message": message}}}
    return {
        "kind": "Pod",
        "metadata": {"name": f"{job()}-x", "labels": labels},
        "status": {"phase": "Running", "containerStatuses": [container]},
    }


@pytest.mark.parametrize("state", [{"running": {}}, {"waiting": {"reason": "CrashLoopBackOff"}}])
def test_the_cause_is_the_same_between_and_during_tries(state):
    told = json.dumps({"failed": "ModelRefused", "message": "set model.secretRef"})
    assert cause_of(ended(told, **state)) == REFUSED


@pytest.mark.parametrize("told", ["", "killed", "{}", '{"failed": "no word", "message": "x"}', "[1]"])
def test_other_ends_are_not_taken_for_causes_of_downloads(told):
    cause = cause_of(ended(told, running={}))
    assert cause is not None
    assert cause.reason == "Starting"


def test_the_cause_reaches_the_facts_of_the_job():
    told = json.dumps({"failed": "NoSpace", "message": "raise cache.size"})
    labels = {"aiapp.dev/component": "model", "aiapp.dev/name": "m"}
    found = {"kind": "Job", "metadata": {"name": job(), "labels": labels}, "status": {}}
    run = observe(APP, [found, ended(told, running={})], None).runs[job()]
    assert run.cause == Cause(Severity.FAILED, "NoSpace", "raise cache.size")


def test_progress_comes_in_steps_so_that_a_status_settles():
    assert (
        coarse({"done": 1234, "total": 100_000}) == coarse({"done": 1999, "total": 100_000}) == Progress(1000, 100_000)
    )
    assert coarse({"done": 0, "total": 0}) is None
    with pytest.raises(ValueError, match="progress"):
        coarse([])
