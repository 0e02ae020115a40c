"""Why a pod is not ready: a chain of named predicates, the most telling first.

Every predicate takes the pod and gives its cause, or None when it does not apply. A cause is the same
in each phase of what it describes (a crash loop alternates between running, terminated and waiting),
so that status does not flap.
"""

import json
import re
from collections.abc import Callable, Iterator

from aiapp_operator.api.facts import Cause, Severity
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.status.fields import condition, items, mapping, number, text
from aiapp_operator.status.redact import last_line, redact
from aiapp_operator.status.scheduling import unschedulable

Predicate = Callable[[Manifest], Cause | None]

_SECRET_MISSING = re.compile(r'secret "([^"]+)" not found', re.IGNORECASE)
_KEY_MISSING = re.compile(r"couldn't find key (\S+) in Secret ([^/\s]+/)?(\S+)")
_SECRET_OF_DATA = re.compile(r"aiapp: Secret (\S+) is missing")
_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ErrImageNeverPull"})
_COPY_MODEL = "copy-model"
_INFERENCE = "inference"
_DOWNLOAD = "model"
_REASON = re.compile(r"[A-Z][A-Za-z]{0,62}")


def statuses(pod: Manifest) -> Iterator[Manifest]:
    """The states of all containers, init containers first."""
    yield from items(pod, "status", "initContainerStatuses")
    yield from items(pod, "status", "containerStatuses")


def _waiting(pod: Manifest) -> Iterator[tuple[Manifest, str, str]]:
    for status in statuses(pod):
        waiting = mapping(status, "state", "waiting")
        if waiting:
            yield status, text(waiting, "reason"), text(waiting, "message")


def missing_secrets(pod: Manifest) -> Iterator[str]:
    """Names of Secrets without which a container of `pod` does not start."""
    for status, reason, message in _waiting(pod):
        found = _SECRET_MISSING.search(message)
        if reason == "CreateContainerConfigError" and found is not None:
            yield found.group(1)
        ended = _SECRET_OF_DATA.search(text(mapping(status, "lastState", "terminated"), "message"))
        if ended is not None:
            yield ended.group(1)


def missing_keys(pod: Manifest) -> Iterator[tuple[str, str]]:
    """Secret and key of values without which a container of `pod` does not start."""
    for _, reason, message in _waiting(pod):
        found = _KEY_MISSING.search(message)
        if reason == "CreateContainerConfigError" and found is not None:
            yield found.group(3).rstrip("."), found.group(1)


def download_failed(pod: Manifest) -> Cause | None:
    """A download ended without its model and is tried again; it has said why itself."""
    for status in items(pod, "status", "containerStatuses"):
        if status.get("name") != _DOWNLOAD:
            continue
        ended = mapping(status, "state", "terminated") or mapping(status, "lastState", "terminated")
        told = _told(text(ended, "message"))
        if told:
            return Cause(Severity.FAILED, text(told, "failed"), redact(text(told, "message")))
    return None


def _told(message: str) -> Manifest:
    """{"failed": ..., "message": ...}, the last thing that a download says; empty where it is not."""
    for line in reversed(message.splitlines()):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and _REASON.fullmatch(text(document, "failed")):
            return document
    return {}


def secret_missing(pod: Manifest) -> Cause | None:
    """A Secret that a container needs does not exist."""
    name = min(missing_secrets(pod), default="")
    if not name:
        return None
    return Cause(Severity.STALLED, "SecretMissing", f"Secret {name} does not exist: create it")


def secret_key_missing(pod: Manifest) -> Cause | None:
    """A Secret that a container needs lacks a key."""
    name, key = min(missing_keys(pod), default=("", ""))
    if not name:
        return None
    return Cause(Severity.STALLED, "SecretKeyMissing", f"Secret {name} has no key {key}: add it")


def image_name_invalid(pod: Manifest) -> Cause | None:
    """The image is no name of an image."""
    for status, reason, _ in _waiting(pod):
        if reason == "InvalidImageName":
            image = text(status, "image")[:200]
            return Cause(Severity.STALLED, "InvalidImageName", f"{image} is not the name of an image: correct it")
    return None


def image_not_pulled(pod: Manifest) -> Cause | None:
    """The image does not come: it does not exist, or the registry wants credentials, or is down."""
    for status, reason, message in _waiting(pod):
        if reason in _IMAGE_REASONS:
            return Cause(Severity.FAILED, "ImagePullFailed", f"cannot pull image {_image(status)}: {_why(message)}")
    return None


def _image(status: Manifest) -> str:
    return text(status, "image")[:200] or "of the pod"


def _why(message: str) -> str:
    """The kind of failure; the text of a registry differs between attempts, this does not."""
    lowered = message.lower()
    if any(word in lowered for word in ("not found", "manifest unknown", "does not exist", "name unknown")):
        return "there is no such image"
    if any(word in lowered for word in ("unauthorized", "denied", "forbidden", "authentication")):
        return "the registry refuses without other credentials, or there is no such image"
    if "not present with pull policy" in lowered:
        return "it is not on the node"
    return "the registry does not give it"


def container_not_created(pod: Manifest) -> Cause | None:
    """Kubelet or the container runtime refuses to make or start the container."""
    for status, reason, message in _waiting(pod):
        if reason in {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}:
            name = text(status, "name")
            return Cause(Severity.FAILED, "ContainerRefused", f"container {name} cannot start: {redact(message)}")
    return None


def out_of_memory(pod: Manifest) -> Cause | None:
    """A container was killed because it used more memory than its limit."""
    for status, ended in _crashes(pod):
        if text(ended, "reason") == "OOMKilled":
            name = text(status, "name")
            words = f"container {name} used more memory than its limit{_memory_limit(pod, name)}"
            return Cause(Severity.FAILED, "OutOfMemory", f"{words}: raise resources.limits.memory")
    return None


def crashed(pod: Manifest) -> Cause | None:
    """A container ends again and again."""
    for status, ended in _crashes(pod):
        line = last_line(text(ended, "message"))
        code = number(ended, "exitCode")
        words = f"container {text(status, 'name')} ends with exit code {code}"
        return Cause(Severity.FAILED, "CrashLoopBackOff", f"{words}: {line}" if line else words)
    return None


def _crashes(pod: Manifest) -> Iterator[tuple[Manifest, Manifest]]:
    """Containers that are not ready and ended last with a failure, with that end."""
    for status in statuses(pod):
        if status.get("ready") is True:
            continue
        ended = mapping(status, "state", "terminated") or mapping(status, "lastState", "terminated")
        looping = mapping(status, "state", "waiting").get("reason") == "CrashLoopBackOff"
        if ended and (looping or number(ended, "exitCode") != 0):
            yield status, ended


def _memory_limit(pod: Manifest, container: str) -> str:
    for spec in (*items(pod, "spec", "initContainers"), *items(pod, "spec", "containers")):
        limit = text(spec, "resources", "limits", "memory")
        if spec.get("name") == container and limit:
            return f" of {limit}"
    return ""


def evicted(pod: Manifest) -> Cause | None:
    """The whole pod failed: evicted, or refused by its node."""
    if text(pod, "status", "phase") != "Failed":
        return None
    reason = text(pod, "status", "reason")
    if not reason:
        return None
    return Cause(Severity.FAILED, "PodFailed", f"{reason}: {redact(text(pod, 'status', 'message'))}".rstrip(": "))


def copying_model(pod: Manifest) -> Cause | None:
    """The init container that copies the model out of its image is at work."""
    for status in items(pod, "status", "initContainerStatuses"):
        if status.get("name") == _COPY_MODEL and mapping(status, "state", "running"):
            return Cause(Severity.PROGRESSING, "CopyingModel", "copying the model")
    return None


def loading_model(pod: Manifest) -> Cause | None:
    """The model server runs and has not answered yet."""
    for status in items(pod, "status", "containerStatuses"):
        if status.get("name") == _INFERENCE and mapping(status, "state", "running") and not status.get("started"):
            return Cause(Severity.PROGRESSING, "LoadingModel", "loading the model")
    return None


def probe_failing(pod: Manifest) -> Cause | None:
    """A container runs and has started, and its readiness probe says no."""
    for status in items(pod, "status", "containerStatuses"):
        if mapping(status, "state", "running") and status.get("started") is True and status.get("ready") is False:
            name = text(status, "name")
            return Cause(Severity.PROGRESSING, "NotReady", f"container {name} runs, its readiness probe fails")
    return None


def starting(pod: Manifest) -> Cause | None:
    """Nothing is wrong; deliberately one cause for all steps of a normal start, since each would be a write."""
    del pod
    return Cause(Severity.PROGRESSING, "Starting", "starting")


CHAIN: tuple[Predicate, ...] = (
    secret_missing,
    secret_key_missing,
    image_name_invalid,
    image_not_pulled,
    out_of_memory,
    download_failed,
    crashed,
    container_not_created,
    evicted,
    unschedulable,
    copying_model,
    loading_model,
    probe_failing,
    starting,
)


def cause_of(pod: Manifest) -> Cause | None:
    """The cause why `pod` is not ready; None when it is, or when it is finished."""
    if condition(pod, "Ready").get("status") == "True" or text(pod, "status", "phase") == "Succeeded":
        return None
    return next((cause for predicate in CHAIN if (cause := predicate(pod)) is not None), None)
