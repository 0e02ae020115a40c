"""One workload against what is planned for it: is it there, current and ready, and if not, why."""

from dataclasses import dataclass

from aiapp_operator.api.facts import Cause, Severity, Workload
from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import ANNOTATION_REVISION
from aiapp_operator.api.status import ComponentState
from aiapp_operator.status.fields import mapping, text


@dataclass(frozen=True)
class Report:
    """How one workload is doing. `cause` is None exactly when it is as it should be."""

    label: str  # api, worker/embeddings
    kind: str
    ready: int
    desired: int
    pods: int
    cause: Cause | None
    asleep: bool = False  # it has no pods, as it should be

    @property
    def state(self) -> ComponentState:
        """For status.components."""
        if self.cause is None:
            return ComponentState.SLEEPING if self.asleep else ComponentState.READY
        return ComponentState.PROGRESSING if self.cause.severity is Severity.PROGRESSING else ComponentState.FAILED

    @property
    def summary(self) -> str:
        """`llama: 0/1 pods: no node offers nvidia.com/gpu: 1 (2 nodes looked at)`."""
        name = self.label.rpartition("/")[2]
        if self.asleep:
            return f"{name}: asleep"
        counts = f"{name}: {self.ready}/{self.desired} pods"
        return counts if self.cause is None else f"{counts}: {self.cause.message}"


@dataclass(frozen=True)
class Intent:
    """What a workload should be; `revision` is None where the plan does not say, being blocked or absent."""

    key: ObjectKey
    replicas: int
    revision: str | None
    blocked: bool  # by a gate of the plan

    @classmethod
    def of(cls, key: ObjectKey, replicas: int, manifest: Manifest | None, *, blocked: bool) -> "Intent":
        """Read the planned `manifest`, if there is one."""
        annotations = mapping(manifest, "spec", "template", "metadata", "annotations")
        revision = text(annotations, ANNOTATION_REVISION) if manifest is not None else None
        return cls(key, replicas, revision, blocked)


def report(label: str, intent: Intent, observed: Workload | None) -> Report:
    """Compare; `observed` is None while the workload does not exist."""
    current = observed is not None and intent.revision in {None, observed.revision}
    ready = min(observed.ready, intent.replicas) if observed is not None and current else 0
    pods = observed.pods if observed is not None else 0
    return Report(label, intent.key.kind, ready, intent.replicas, pods, _cause(intent, observed, ready))


def _cause(intent: Intent, observed: Workload | None, ready: int) -> Cause | None:
    if intent.blocked:
        asleep = observed is not None and observed.asleep
        return Cause(Severity.PROGRESSING, "Waking" if asleep else "Waiting", _blocked(intent, observed))
    if observed is None:
        return Cause(Severity.PROGRESSING, "Creating", "being created")
    other = intent.revision not in {None, observed.revision}
    if other or observed.desired != intent.replicas or not observed.observed:
        return Cause(Severity.PROGRESSING, "Updating", "the change is being rolled out")
    if ready < intent.replicas:
        return observed.cause or Cause(Severity.PROGRESSING, "Starting", "starting")
    if observed.pods > intent.replicas:
        return Cause(Severity.PROGRESSING, "Updating", "pods of the previous revision are being stopped")
    return None


def _blocked(intent: Intent, observed: Workload | None) -> str:
    if intent.key.kind == "StatefulSet":
        return "waits for its volume to be created"
    if observed is not None and observed.asleep:
        return "waits for its turn to wake"
    serving = observed is not None and observed.serving > 0
    return f"{'the previous revision serves on' if serving else 'waits'} until the database is migrated"
