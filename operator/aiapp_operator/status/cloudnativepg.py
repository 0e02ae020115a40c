"""How a CloudNativePG Cluster is doing, from its status."""

from aiapp_operator.api.facts import Cause, Cluster, Severity
from aiapp_operator.status.pressure import DISK_FULL
from aiapp_operator.status.workloads import Report

_HEALTHY = "Cluster in healthy state"
_MOVING = frozenset({"Failing over", "Switchover in progress"})
_NO_SPACE = "Not enough disk space"
# CloudNativePG does not get out of these by itself.
_STUCK = {
    "Waiting for user action": Severity.STALLED,
    "Cluster is unrecoverable and needs manual intervention": Severity.STALLED,
    "Cluster has incomplete or invalid image catalog": Severity.STALLED,
    "Unable to create required cluster objects": Severity.FAILED,
}


def report(label: str, wanted: int, found: Cluster | None, *, blocked: bool) -> Report:
    """Compare with `wanted` instances; `blocked` by a gate of the plan."""
    ready = found.ready if found is not None else 0
    return Report(label, "Cluster", min(ready, wanted), wanted, ready, _cause(wanted, found, blocked=blocked))


def _cause(wanted: int, found: Cluster | None, *, blocked: bool) -> Cause | None:
    if blocked:
        return Cause(Severity.PROGRESSING, "Waiting", "waits until CloudNativePG is installed")
    if found is None or not found.phase:
        return Cause(Severity.PROGRESSING, "Creating", "being created")
    if found.deleting:
        return Cause(Severity.PROGRESSING, "BeingDeleted", "the Cluster is being deleted and is made anew then")
    return _stuck(found) or _moving(wanted, found)


def _stuck(found: Cluster) -> Cause | None:
    if found.phase == _NO_SPACE:
        words = f"CloudNativePG says: {_NO_SPACE}: raise postgres.cloudNativePG.storage.size"
        return Cause(Severity.STALLED, DISK_FULL, words)
    severity = _STUCK.get(found.phase)
    if severity is None:
        return None
    words = ": ".join(part for part in (found.phase, found.phase_reason) if part)
    return Cause(severity, "ClusterStuck", f"CloudNativePG says: {words}; see Cluster {found.name}")


def _moving(wanted: int, found: Cluster) -> Cause | None:
    if found.phase in _MOVING or (found.ready and not found.primary):
        return Cause(Severity.PROGRESSING, "FailingOver", "another instance is becoming the primary")
    if found.instances != wanted:
        return Cause(Severity.PROGRESSING, "Updating", "the change is being rolled out")
    if found.ready < wanted or found.phase != _HEALTHY:
        return Cause(Severity.PROGRESSING, "InstancesStarting", f"CloudNativePG says: {found.phase}")
    return None
