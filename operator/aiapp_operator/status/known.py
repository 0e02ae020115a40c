"""What the checks of the components look at, and what they say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.facts import Facts, Severity
from aiapp_operator.api.manifest import Manifest, ObjectKey, object_key
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.plan import Plan
from aiapp_operator.api.status import ConditionStatus
from aiapp_operator.errors import ReconcileError
from aiapp_operator.status import autoscaling, sleeping
from aiapp_operator.status.workloads import Intent, Report, report

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@dataclass(frozen=True)
class Known:
    """All that checks look at."""

    app: AIApp
    facts: Facts
    planned: Mapping[ObjectKey, Manifest]
    blocked: frozenset[ObjectKey]  # by closed gates of the plan
    failure: ReconcileError | None
    previous: Manifest | None = None  # the status as it was
    now: str = ""  # RFC 3339
    downloads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by inference: see Plan

    @classmethod
    def of(
        cls,
        app: AIApp,
        facts: Facts,
        plan: Plan | None,
        failure: ReconcileError | None,
        *,
        previous: Manifest | None = None,
        now: str = "",
    ) -> "Known":
        """Index the plan by key."""
        plan = plan or Plan()
        blocked = frozenset(key for gate in plan.gates if not gate.open for key in gate.blocks)
        planned = {object_key(manifest): manifest for manifest in plan.apply}
        return cls(app, facts, planned, blocked, failure, previous, now, plan.downloads)

    def report(self, kind: str, component: ComponentName, entry: str = "") -> Report:
        """How a workload is doing, against what is planned."""
        key = ObjectKey(kind, names.part(self.app.name, component, entry))
        observed = self.facts.workloads.get(key)
        if sleeping.rests(self.app, component):
            return sleeping.report(names.component_label(component.value, entry), kind, observed)
        replicas = self.app.spec.api.replicas if component is ComponentName.API else 1
        scaled = autoscaling.autoscaled(self.app.spec).get((component, entry))
        if scaled is not None:
            # The autoscaler's own number, which it brings to its bounds without any metric.
            replicas = max(scaled.min_replicas, observed.desired if observed is not None else 0)
        intent = Intent.of(key, replicas, self.planned.get(key), blocked=key in self.blocked)
        return report(names.component_label(component.value, entry), intent, observed)


@dataclass(frozen=True)
class Verdict:
    """A condition without its times. `severity` says how a status other than True is handled; None: it matters not."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str
    severity: Severity | None = None


Check = Callable[[Known], Verdict | None]


def of_workloads(type_: ConditionType, found: list[Report]) -> Verdict:
    """One condition over several workloads: the gravest gives the reason, all that are not ready the message."""
    waiting = [entry for entry in found if entry.cause is not None]
    if not waiting:
        words = "; ".join(entry.summary for entry in found)
        asleep = any(entry.asleep for entry in found)
        return Verdict(type_, FALSE, sleeping.SLEEPING, words) if asleep else Verdict(type_, TRUE, "Ready", words)
    causes = [entry.cause for entry in waiting if entry.cause is not None]
    worst = max(causes, key=lambda cause: cause.severity)
    return Verdict(type_, FALSE, worst.reason, "; ".join(entry.summary for entry in waiting), worst.severity)
