"""Objects without pods -> facts."""

from collections.abc import Mapping

from aiapp_operator.api import names
from aiapp_operator.api.facts import (
    Autoscaler,
    Claim,
    Cluster,
)
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.status.fields import condition, mapping, number, text
from aiapp_operator.status.redact import redact


def _autoscaler(name: str, child: Manifest) -> Autoscaler:
    """What Kubernetes says of it: it cannot act without the number of pods, nor without a metric."""
    failed = next((c for type_ in ("AbleToScale", "ScalingActive") if _is_false(c := condition(child, type_))), None)
    if failed is not None:
        return Autoscaler(name, False, text(failed, "reason"), redact(text(failed, "message")))
    active = condition(child, "ScalingActive").get("status") == "True"
    return Autoscaler(name, True if active else None)


def _scaled_object(name: str, child: Manifest) -> Autoscaler:
    """What KEDA says of it: without its metric it is not Ready; that nothing is asked for now is no trouble."""
    ready = condition(child, "Ready")
    if _is_false(ready):
        return Autoscaler(name, False, text(ready, "reason"), redact(text(ready, "message")))
    return Autoscaler(name, True if ready.get("status") == "True" else None)


AUTOSCALERS = {"HorizontalPodAutoscaler": _autoscaler, "ScaledObject": _scaled_object}


def _is_false(found: Mapping[str, object]) -> bool:
    return found.get("status") == "False"


def front(child: Manifest) -> str:
    """The component that a Service leads to."""
    return text(child, "spec", "selector", names.LABEL_COMPONENT)


def claim(name: str, child: Manifest) -> Claim:
    """A volume, and whether its Secrets are its own."""
    uid = text(child, "metadata", "uid")
    return Claim(
        name=name,
        uid=uid,
        requested=text(child, "spec", "resources", "requests", "storage"),
        capacity=text(child, "status", "capacity", "storage"),
        bound=text(child, "status", "phase") == "Bound",
        deleting=bool(text(child, "metadata", "deletionTimestamp")),
        secrets_made=bool(uid) and text(child, "metadata", "annotations", names.ANNOTATION_SECRETS) == uid,
    )


def cluster(name: str, child: Manifest) -> Cluster:
    """Names of instances are left out: they change with each failover."""
    primary, target = text(child, "status", "currentPrimary"), text(child, "status", "targetPrimary")
    uid = text(child, "metadata", "uid")
    return Cluster(
        name=name,
        uid=uid,
        ready=number(child, "status", "readyInstances"),
        instances=number(child, "spec", "instances"),
        phase=text(child, "status", "phase"),
        phase_reason=redact(text(child, "status", "phaseReason")),
        primary=bool(primary) and primary == target,
        rotation=str(mapping(child, "metadata", "annotations").get(names.ANNOTATION_ROTATION, "")),
        deleting=bool(text(child, "metadata", "deletionTimestamp")),
        secrets_made=bool(uid) and text(child, "metadata", "annotations", names.ANNOTATION_SECRETS) == uid,
        asleep=text(child, "metadata", "annotations", names.ANNOTATION_HIBERNATION) == "on",
        hibernated=condition(child, names.ANNOTATION_HIBERNATION).get("status") == "True",
    )
