"""One workload against what is planned for it: is it there, current and ready, and if not, why."""

from dataclasses import dataclass

from aiapp_operator.api.facts import Cause, Severity, Workload
from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import ANNOTATION_REVISION
from aiapp_operator.api.status import ComponentState
from aiapp_operator.status.fields import mapping, number, text


@dataclass(frozen=True)
class Report:
    """How one workload is doing. `cause` is None exactly when it is as it should be."""

    label: str  # api, worker/embeddings
    kind: str
    ready: int
    desired: int
    pods: int
    cause: Cause | None

    @property
    def state(self) -> ComponentState:
        """For status.components."""
        if self.cause is None:
            return ComponentState.READY
        return ComponentState.PROGRESSING if self.cause.severity is Severity.PROGRESSING else ComponentState.FAILED

    @property
    def summary(self) -> str:
        """`llama: 0/1 pods: no node offers nvidia.com/gpu: 1 (2 nodes looked at)`."""
        name = self.label.rpartition("/")[2]
        counts = f"{name}: {self.ready}/{self.desired} pods"
        return counts if self.cause is None else f"{counts}: {self.cause.message}"


def report(label: str, key: ObjectKey, planned: Manifest | None, observed: Workload | None) -> Report:
    """Compare; `planned` is None while the workload is held back, `observed` while it does not exist."""
    desired = number(planned, "spec", "replicas") if planned is not None else (observed.desired if observed else 0)
    pods = observed.pods if observed is not None else 0
    revision = _revision(planned)
    current = observed is not None and (planned is None or observed.revision == revision)
    ready = min(observed.ready, desired) if observed is not None and current else 0
    return Report(label, key.kind, ready, desired, pods, _cause(planned, observed, revision, ready, desired))


def _revision(planned: Manifest | None) -> str:
    return text(mapping(planned, "spec", "template", "metadata", "annotations"), ANNOTATION_REVISION)


def _cause(
    planned: Manifest | None, observed: Workload | None, revision: str, ready: int, desired: int
) -> Cause | None:
    if planned is None:
        words = "the previous revision serves on" if observed is not None and observed.serving else "waits"
        return Cause(Severity.PROGRESSING, "Waiting", f"{words} for what stands before it")
    if observed is None:
        return Cause(Severity.PROGRESSING, "Creating", "being created")
    if observed.revision != revision or observed.desired != desired or not observed.observed:
        return Cause(Severity.PROGRESSING, "Updating", "the change is being rolled out")
    if ready < desired:
        return observed.cause or Cause(Severity.PROGRESSING, "Starting", "starting")
    if observed.pods > desired:
        return Cause(Severity.PROGRESSING, "Updating", "pods of the previous revision are being stopped")
    return None
