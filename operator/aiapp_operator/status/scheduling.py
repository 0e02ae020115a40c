"""Why the scheduler found no node, in words that say what to do."""

import re
from dataclasses import dataclass

from aiapp_operator.api.facts import Cause, Severity
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.status.fields import condition, items, mapping, text
from aiapp_operator.status.redact import redact

REASON = "Unschedulable"
_LOOKED_AT = re.compile(r"^0/(\d+) nodes are available: (.*)$", re.DOTALL)
_COUNTED = re.compile(r"^(\d+) (.*)$")
_INSUFFICIENT = re.compile(r"^Insufficient (\S+)$")
_TAINT = re.compile(r"untolerated taint(?:s|\(s\))?(?: \{(?P<taint>[^}]*)\})?")
_CLAIM_MISSING = re.compile(r'persistentvolumeclaim "([^"]+)" (?:not found|is being deleted)')
_KNOWN = (
    ("didn't match Pod's node affinity", "no node has the labels of placement.nodeSelector"),
    ("were unschedulable", "the node is cordoned"),
    ("volume node affinity conflict", "the volume is bound to another node"),
    ("cannot allocate all claims", "no node has the free devices that gpu.resourceClaimTemplateName asks for"),
    ("Too many pods", "the node runs as many pods as it may"),
)


@dataclass(frozen=True)
class _Obstacle:
    nodes: int
    words: str


def unschedulable(pod: Manifest) -> Cause | None:
    """The cause when no node takes `pod`; None when it has a node, or nobody has looked yet."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") not in {REASON, "SchedulingGated"}:
        return None
    if scheduled.get("reason") == "SchedulingGated":
        return Cause(
            Severity.PROGRESSING, "Queued", "waits until its queue admits it: Kueue, or who else holds its gates"
        )
    message = text(scheduled, "message")
    missing = _CLAIM_MISSING.search(message)
    if missing is not None:
        return Cause(Severity.PROGRESSING, "VolumePending", f"the volume {missing.group(1)} does not exist yet")
    if "unbound immediate PersistentVolumeClaims" in message:
        return Cause(
            Severity.FAILED,
            "VolumePending",
            "its volume is not provisioned: is there a (default) StorageClass whose provisioner works?",
        )
    if "no nodes available" in message:
        return Cause(Severity.FAILED, REASON, "the cluster has no node that takes pods")
    return Cause(Severity.FAILED, REASON, _translate(message, _requests(pod)))


def _translate(message: str, requests: dict[str, str]) -> str:
    match = _LOOKED_AT.match(message)
    if match is None:
        return redact(message) or "no node takes it"
    # Later parts tell of preemption, which repeats what the first part says.
    reasons = re.split(r"\. (?:preemption|no new claims)\b", match.group(2))[0].rstrip(". ")
    looked_at = f"({match.group(1)} nodes looked at)" if match.group(1) != "1" else "(1 node looked at)"
    obstacles = [_obstacle(part.strip(), requests) for part in _split(reasons)]
    if len(obstacles) == 1:
        return f"{obstacles[0].words} {looked_at}"
    ordered = sorted(obstacles, key=lambda o: (-o.nodes, o.words))
    return f"no node fits: {'; '.join(f'{o.words} ({o.nodes})' for o in ordered)} {looked_at}"


def _split(reasons: str) -> list[str]:
    """Split at commas that start a new count; commas inside of a reason stay."""
    return re.split(r", (?=\d+ )", reasons)


def _obstacle(part: str, requests: dict[str, str]) -> _Obstacle:
    counted = _COUNTED.match(part)
    nodes, words = (int(counted.group(1)), counted.group(2)) if counted else (0, part)
    insufficient = _INSUFFICIENT.match(words)
    if insufficient is not None:
        name = insufficient.group(1)
        wanted = f"{name}: {requests[name]}" if name in requests else name
        return _Obstacle(nodes, f"no node offers {wanted}" if "/" in name else f"no node has enough free {wanted}")
    taint = _TAINT.search(words)
    if taint is not None:
        name = (taint.group("taint") or "").split(":")[0].strip()
        return _Obstacle(nodes, f"the taint {name} is not tolerated" if name else "a taint is not tolerated")
    known = next((ours for theirs, ours in _KNOWN if theirs in words), None)
    return _Obstacle(nodes, known or redact(words.removeprefix("node(s) ")))


def _requests(pod: Manifest) -> dict[str, str]:
    """What the pod's first container asks for, by resource; the others are small."""
    containers = items(pod, "spec", "containers")
    requests = mapping(containers[0], "resources", "requests") if containers else {}
    return {name: str(value) for name, value in requests.items()}
