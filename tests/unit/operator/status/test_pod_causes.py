"""Each state of a pod -> reason and message that a user can act on."""

import pytest

from aiapp_operator.api.facts import Severity
from aiapp_operator.status.pod_causes import cause_of, missing_keys, missing_secrets
from tests.unit.operator.status.pods import container, pod, ready, unscheduled

CONFIG_ERROR = "CreateContainerConfigError"
EXITED = {"exitCode": 1, "reason": "Error", "message": "2024-01-02T03:04:05.123Z starting\nValueError: no such host\n"}
KILLED = {"exitCode": 137, "reason": "OOMKilled", "message": ""}
LIMITED = {"containers": [{"name": "api", "resources": {"limits": {"memory": "512Mi"}}}]}
LOOP = ("CrashLoopBackOff", "back-off 5m0s restarting failed container=api pod=shop-api-7d9f_team(0a1b)")

CASES = {
    "secret missing": (
        pod(init=[container("check-secrets", waiting=(CONFIG_ERROR, 'secret "llm-keys" not found'))]),
        (Severity.STALLED, "SecretMissing", "Secret llm-keys does not exist: create it"),
    ),
    "key missing": (
        pod(
            init=[
                container("check-secrets", waiting=(CONFIG_ERROR, "couldn't find key openai in Secret team/llm-keys"))
            ]
        ),
        (Severity.STALLED, "SecretKeyMissing", "Secret llm-keys has no key openai: add it"),
    ),
    "other configuration error": (
        pod(containers=[container(waiting=(CONFIG_ERROR, "container has runAsNonRoot and image will run as root"))]),
        (
            Severity.FAILED,
            "ContainerRefused",
            "container api cannot start: container has runAsNonRoot and image will run as root",
        ),
    ),
    "image name invalid": (
        pod(containers=[container(image="UPPER:1", waiting=("InvalidImageName", "couldn't parse"))]),
        (Severity.STALLED, "InvalidImageName", "UPPER:1 is not the name of an image: correct it"),
    ),
    "image does not exist": (
        pod(containers=[container(waiting=("ErrImagePull", 'failed to resolve reference "x": x: not found'))]),
        (Severity.FAILED, "ImagePullFailed", "cannot pull image service:1: there is no such image"),
    ),
    "image is refused": (
        pod(containers=[container(waiting=("ImagePullBackOff", "Back-off: 401 Unauthorized"))]),
        (
            Severity.FAILED,
            "ImagePullFailed",
            "cannot pull image service:1: the registry refuses without other credentials, or there is no such image",
        ),
    ),
    "registry is down": (
        pod(containers=[container(waiting=("ErrImagePull", "dial tcp 10.1.2.3:443: i/o timeout"))]),
        (Severity.FAILED, "ImagePullFailed", "cannot pull image service:1: the registry does not give it"),
    ),
    "crash, waiting": (
        pod(containers=[container(waiting=LOOP, last=EXITED)], phase="Running"),
        (Severity.FAILED, "CrashLoopBackOff", "container api ends with exit code 1: ValueError: no such host"),
    ),
    "crash, ended": (
        pod(containers=[container(terminated=EXITED)], phase="Running"),
        (Severity.FAILED, "CrashLoopBackOff", "container api ends with exit code 1: ValueError: no such host"),
    ),
    "crash, running again": (
        pod(containers=[container(running=True, last=EXITED)], phase="Running"),
        (Severity.FAILED, "CrashLoopBackOff", "container api ends with exit code 1: ValueError: no such host"),
    ),
    "crash without a word": (
        pod(containers=[container(terminated={"exitCode": 2})], phase="Running"),
        (Severity.FAILED, "CrashLoopBackOff", "container api ends with exit code 2"),
    ),
    "ends with success again and again": (
        pod(containers=[container(waiting=LOOP, last={"exitCode": 0, "reason": "Completed"})], phase="Running"),
        (Severity.FAILED, "CrashLoopBackOff", "container api ends with exit code 0"),
    ),
    "crash of an init container": (
        pod(init=[container("copy-model", terminated={"exitCode": 1, "message": "cp: can't stat '/m': No such file"})]),
        (
            Severity.FAILED,
            "CrashLoopBackOff",
            "container copy-model ends with exit code 1: cp: can't stat '/m': No such file",
        ),
    ),
    "out of memory": (
        pod(containers=[container(waiting=LOOP, last=KILLED)], spec=LIMITED, phase="Running"),
        (
            Severity.FAILED,
            "OutOfMemory",
            "container api used more memory than its limit of 512Mi: raise resources.limits.memory",
        ),
    ),
    "evicted": (
        {
            **pod(phase="Failed"),
            "status": {"phase": "Failed", "reason": "Evicted", "message": "low on ephemeral-storage"},
        },
        (Severity.FAILED, "PodFailed", "Evicted: low on ephemeral-storage"),
    ),
    "copying the model": (
        pod("inference", "llama", init=[container("copy-model", running=True)]),
        (Severity.PROGRESSING, "CopyingModel", "copying the model"),
    ),
    "loading the model": (
        pod("inference", "llama", containers=[container("inference", running=True, started=False)]),
        (Severity.PROGRESSING, "LoadingModel", "loading the model"),
    ),
    "probe failing": (
        pod(containers=[container(running=True, started=True)], phase="Running"),
        (Severity.PROGRESSING, "NotReady", "container api runs, its readiness probe fails"),
    ),
    "starting": (
        pod(containers=[container(waiting=("ContainerCreating", ""))]),
        (Severity.PROGRESSING, "Starting", "starting"),
    ),
    "nothing is known yet": (pod(), (Severity.PROGRESSING, "Starting", "starting")),
    "no node": (
        unscheduled("0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No victims."),
        (Severity.FAILED, "Unschedulable", "no node has enough free cpu (2 nodes looked at)"),
    ),
}


@pytest.mark.parametrize(("state", "expected"), CASES.values(), ids=list(CASES))
def test_cause(state, expected):
    cause = cause_of(state)
    assert (cause.severity, cause.reason, cause.message) == expected


@pytest.mark.parametrize("state", [ready(), pod(phase="Succeeded")])
def test_no_cause(state):
    assert cause_of(state) is None


def test_names_of_what_is_missing():
    state = CASES["secret missing"][0]
    assert list(missing_secrets(state)) == ["llm-keys"]
    state = CASES["key missing"][0]
    assert list(missing_secrets(state)) == []
    assert list(missing_keys(state)) == [("llm-keys", "openai")]


def test_a_database_that_lost_its_secret_names_it():
    ended = {"exitCode": 1, "message": "aiapp: Secret shop-postgres is missing\n"}
    state = pod("postgres", containers=[container("postgres", waiting=LOOP, last=ended)])
    assert list(missing_secrets(state)) == ["shop-postgres"]
