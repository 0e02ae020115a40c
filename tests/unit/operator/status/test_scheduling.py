import pytest

from aiapp_operator.api.facts import Severity
from aiapp_operator.status.scheduling import unschedulable
from tests.unit.operator.status.pods import pod, unscheduled

GPU = {"containers": [{"resources": {"requests": {"nvidia.com/gpu": "1", "cpu": "4"}}}]}
PREEMPTION = " preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."

CASES = [
    (
        f"0/2 nodes are available: 2 Insufficient nvidia.com/gpu.{PREEMPTION}",
        "no node offers nvidia.com/gpu: 1 (2 nodes looked at)",
    ),
    ("0/1 nodes are available: 1 Insufficient cpu.", "no node has enough free cpu: 4 (1 node looked at)"),
    (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {dedicated: ai}." + PREEMPTION,
        (
            "no node fits: the taint dedicated is not tolerated (2); no node has enough free cpu: 4 (1)"
            " (3 nodes looked at)"
        ),
    ),
    (
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
        "no node has the labels of placement.nodeSelector (2 nodes looked at)",
    ),
    ("0/2 nodes are available: 2 node(s) were unschedulable.", "the node is cordoned (2 nodes looked at)"),
    (
        "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
        "the volume is bound to another node (1 node looked at)",
    ),
    ("0/2 nodes are available: 2 node(s) something new.", "something new (2 nodes looked at)"),
    ("no nodes available to schedule pods", "the cluster has no node that takes pods"),
    ("words of another scheduler", "words of another scheduler"),
    ("", "no node takes it"),
]


@pytest.mark.parametrize(("message", "expected"), CASES)
def test_the_schedulers_words_in_ours(message, expected):
    cause = unschedulable(unscheduled(message, spec=GPU))
    assert (cause.reason, cause.message) == ("Unschedulable", expected)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
            "its volume is not provisioned: is there a (default) StorageClass whose provisioner works?",
        ),
        (
            'persistentvolumeclaim "models" not found. preemption: none',
            "the volume models does not exist yet",
        ),
    ],
)
def test_volumes(message, expected):
    cause = unschedulable(unscheduled(message))
    assert (cause.reason, cause.message) == ("VolumePending", expected)


def test_a_pod_nobody_has_looked_at_yet():
    assert unschedulable(pod()) is None


def test_a_pod_that_a_queue_holds_back_is_not_at_fault():
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked",
    }
    cause = unschedulable({"status": {"conditions": [condition]}})
    assert cause is not None
    assert (cause.severity, cause.reason) == (Severity.PROGRESSING, "Queued")
