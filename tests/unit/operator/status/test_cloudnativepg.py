"""What a Cluster's status means, in words."""

from dataclasses import replace

import pytest

from aiapp_operator.api.facts import Cluster, Severity
from aiapp_operator.status.cloudnativepg import report

HEALTHY = Cluster("c", "u", ready=3, instances=3, phase="Cluster in healthy state", primary=True)
UNRECOVERABLE = "Cluster is unrecoverable and needs manual intervention"


@pytest.mark.parametrize(
    ("found", "reason", "severity", "message"),
    [
        (None, "Creating", Severity.PROGRESSING, "being created"),
        (replace(HEALTHY, phase=""), "Creating", Severity.PROGRESSING, "being created"),
        (
            replace(HEALTHY, phase="Failing over", ready=2),
            "FailingOver",
            Severity.PROGRESSING,
            "another instance is becoming the primary",
        ),
        (replace(HEALTHY, primary=False), "FailingOver", Severity.PROGRESSING, "becoming the primary"),
        (
            replace(HEALTHY, phase="Setting up primary", ready=0, primary=False),
            "InstancesStarting",
            Severity.PROGRESSING,
            "CloudNativePG says: Setting up primary",
        ),
        (replace(HEALTHY, ready=2), "InstancesStarting", Severity.PROGRESSING, "healthy state"),
        (replace(HEALTHY, instances=2), "Updating", Severity.PROGRESSING, "being rolled out"),
        (replace(HEALTHY, deleting=True), "BeingDeleted", Severity.PROGRESSING, "made anew"),
        (
            replace(HEALTHY, phase=UNRECOVERABLE, phase_reason="no instance"),
            "ClusterStuck",
            Severity.STALLED,
            "manual intervention: no instance; see Cluster c",
        ),
    ],
)
def test_why_it_is_not_ready(found, reason, severity, message):
    cause = report("postgres", 3, found, blocked=False).cause
    assert (cause.reason, cause.severity) == (reason, severity)
    assert message in cause.message


def test_all_instances_and_a_primary_are_ready():
    found = report("postgres", 3, HEALTHY, blocked=False)
    assert found.cause is None
    assert (found.ready, found.desired, found.summary) == (3, 3, "postgres: 3/3 pods")


def test_without_cloudnativepg_it_waits():
    assert report("postgres", 3, None, blocked=True).cause.message == "waits until CloudNativePG is installed"
