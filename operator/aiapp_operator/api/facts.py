"""What is known about the children of one AIApp: the only view that plans and conditions have of the cluster.

Made by `status.observe.observe` from cached objects; immutable and comparable, without times,
addresses or generated names, so that equal clusters give equal facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

from aiapp_operator.api.database_load import DatabaseLoad
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.api.names import ComponentName


class Severity(IntEnum):
    """How a cause is handled; the larger one is reported when pods differ."""

    PROGRESSING = 1  # passes by itself
    FAILED = 2  # wrong, but may heal without the user: crashes, full nodes, registries that are down
    STALLED = 3  # only the user can mend it


@dataclass(frozen=True)
class Cause:
    """Why something is not ready: a reason for machines, a message for people."""

    severity: Severity
    reason: str
    message: str


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet with its pods."""

    key: ObjectKey
    revision: str = ""  # annotation aiapp.dev/revision of the pod template
    desired: int = 0  # spec.replicas
    observed: bool = False  # its controller has seen the newest generation
    pods: int = 0  # pods there are, of any revision
    ready: int = 0  # pods that are ready and of the current revision
    serving: int = 0  # pods that are ready, of any revision
    cause: Cause | None = None  # why pods are missing or not ready; None: nothing is known
    rotation: str = ""  # digest of what its passwords were last rotated for
    left: int = 0  # pods there still are, those that are being stopped too
    asleep: bool = False  # it was set to zero pods since the AIApp sleeps

    def runs_only(self, revision: str) -> bool:
        """Whether all of its pods are ready and of this revision, and none of another is left."""
        return self.observed and self.revision == revision and self.ready == self.desired == self.pods


class JobState(StrEnum):
    """Where a Job is."""

    ACTIVE = "Active"
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True)
class Job:
    """A migration Job with its pods."""

    name: str
    state: JobState
    executing: bool = False  # one of its containers runs right now
    result: str = ""  # schema revision it reached, from the termination message
    database: str = ""  # uid of the volume whose database it migrated; empty: not ours
    cause: Cause | None = None


@dataclass(frozen=True)
class Autoscaler:
    """A HorizontalPodAutoscaler. `active`: None until Kubernetes has said whether it can work."""

    name: str
    active: bool | None = None
    reason: str = ""  # of Kubernetes, where it cannot work
    message: str = ""


@dataclass(frozen=True)
class Run:
    """A Job that makes a backup, proves one or restores one, with its pods."""

    name: str
    component: ComponentName
    state: JobState
    created: str = ""  # RFC 3339; tells which is the newest
    database: str = ""  # uid of the volume that it restored into
    result: str = ""  # what the service said at its end, as JSON
    cause: Cause | None = None


@dataclass(frozen=True)
class Progress:
    """How far a download is: bytes there are, and that there will be. In steps: a status has to settle."""

    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim."""

    name: str
    uid: str
    requested: str = ""  # size asked for
    capacity: str = ""  # size it has
    bound: bool = False
    deleting: bool = False
    secrets_made: bool = False  # the Secrets there are were made for this very volume


@dataclass(frozen=True)
class Cluster:
    """A CloudNativePG Cluster."""

    name: str
    uid: str
    ready: int = 0  # instances that are ready
    instances: int = 0  # spec.instances
    phase: str = ""  # CloudNativePG's words
    phase_reason: str = ""
    primary: bool = False  # one instance is the primary, and no other is to become it
    rotation: str = ""  # digest of what its passwords were last rotated for
    deleting: bool = False
    secrets_made: bool = False  # the Secrets there are were made for this very Cluster
    asleep: bool = False  # it was told to hibernate
    hibernated: bool = False  # and does, without pods


class HealthStatus(StrEnum):
    """`status` of the service's /health."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class BackendFault:
    """A backend that does not serve. `code`: the HTTP status by which it refuses the API key, else 0."""

    name: str
    reason: str
    code: int = 0


@dataclass(frozen=True)
class UnservedModel:
    """A model that none of its backends serves."""

    name: str
    backends: tuple[str, ...] = ()


_AT_EASE = DatabaseLoad()


@dataclass(frozen=True)
class BackendHealth:
    """What the API last said on /health.

    `words` are reason and message of a condition, where what it was made of is not known any more.
    """

    status: HealthStatus
    failing: tuple[str, ...] = ()  # names of checks that report an error, sorted
    faults: tuple[BackendFault, ...] = ()  # sorted by name
    unserved: tuple[UnservedModel, ...] = ()  # sorted by name
    words: tuple[str, str] | None = None
    storage: str = ""  # how the object store refuses, in the service's words; they do not change from look to look
    database: DatabaseLoad | None = _AT_EASE  # None: what was last told of it holds

    @classmethod
    def from_document(cls, document: Any) -> "BackendHealth":
        """Read the JSON document of /health.

        Raises:
            ValueError: it is not such a document.
        """
        if not isinstance(document, dict) or not isinstance(document.get("checks", {}), dict):
            raise ValueError("not a health document")  # noqa: TRY004  # one type of error for all that is wrong
        checks = document.get("checks", {})
        failing = (name for name, check in checks.items() if isinstance(check, dict) and check.get("status") == "error")
        faults = (_fault(entry) for entry in _entries(document, "backends") if entry.get("status") == "error")
        unserved = (_unserved(entry) for entry in _entries(document, "models") if entry.get("served") is False)
        return cls(
            HealthStatus(str(document.get("status"))),
            tuple(sorted(_word(name, 63) for name in failing)),
            tuple(sorted(faults, key=lambda fault: fault.name)),
            tuple(sorted(unserved, key=lambda model: model.name)),
            storage=_refusal(checks.get("storage")),
            database=DatabaseLoad.from_check(checks.get("database")),
        )


_MOST_ENTRIES = 100
_MOST_REFUSAL = 200
_MOST_NAME = 160  # of a backend: the name of a provider, a slash and the name of a model


def _entries(document: Mapping[str, Any], field_name: str) -> list[Mapping[str, Any]]:
    found = document.get(field_name)
    listed = found[:_MOST_ENTRIES] if isinstance(found, list) else []
    return [entry for entry in listed if isinstance(entry, dict)]


def _refusal(check: Any) -> str:
    refused = isinstance(check, dict) and check.get("status") == "error" and check.get("refused") is True
    return _word(check.get("message", ""), _MOST_REFUSAL) if refused else ""


def _word(value: Any, most: int = _MOST_NAME) -> str:
    return "".join(character for character in str(value)[:most] if character.isprintable())


def _fault(entry: Mapping[str, Any]) -> BackendFault:
    code = entry.get("code")
    # Other codes come and go: a status has to settle.
    told = isinstance(code, int) and entry.get("reason") == "refused_key"
    return BackendFault(_word(entry.get("name")), _word(entry.get("reason", ""), 63), int(code or 0) if told else 0)


def _unserved(entry: Mapping[str, Any]) -> UnservedModel:
    backends = entry.get("backends")
    names = [_word(name) for name in backends[:16]] if isinstance(backends, list) else []
    return UnservedModel(_word(entry.get("name")), tuple(names))


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Facts:
    """Everything `desired` and the conditions need."""

    keys: frozenset[ObjectKey] = frozenset()  # children that exist, Pods not counted
    workloads: Mapping[ObjectKey, Workload] = field(default_factory=_empty)
    jobs: Mapping[str, Job] = field(default_factory=_empty)
    runs: Mapping[str, Run] = field(default_factory=_empty)
    schedules: Mapping[str, str] = field(default_factory=_empty)  # CronJobs, and since when they are there
    claims: Mapping[str, Claim] = field(default_factory=_empty)
    autoscalers: Mapping[str, Autoscaler] = field(default_factory=_empty)
    clusters: Mapping[str, Cluster] = field(default_factory=_empty)
    absent_kinds: frozenset[str] = frozenset()  # optional kinds whose API is not served
    fronts: Mapping[str, str] = field(default_factory=_empty)  # Services, and the component that each leads to
    missing_secrets: frozenset[str] = frozenset()  # Secrets that pods wait for
    missing_keys: frozenset[tuple[str, str]] = frozenset()  # Secret and key that pods wait for
    backends: BackendHealth | None = None  # None: the API could not be asked
    downloads: Mapping[str, Progress] = field(default_factory=_empty)  # by Job; those that could be asked
