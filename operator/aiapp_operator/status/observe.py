"""Children -> Facts: everything that plans and conditions know about the cluster, read in one pass."""

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import (
    BackendHealth,
    Cause,
    Facts,
    Job,
    JobState,
    Progress,
    Run,
    Severity,
    Workload,
)
from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.status import objects, pod_causes
from aiapp_operator.status.fields import condition, mapping, number, text
from aiapp_operator.status.redact import last_line, redact

_WORKLOADS = frozenset({"Deployment", "StatefulSet"})
_ENDED = frozenset({"Succeeded", "Failed"})
_QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: (.*?), used: .*?, limited: (.*)$", re.DOTALL)
_FORBIDDEN = re.compile(r'^.*?\b(?:pods?|Pod) "[^"]*" is (?:forbidden|invalid): ', re.DOTALL)
Selector = tuple[str, str]
K = TypeVar("K")
V = TypeVar("V")


def observe(
    app: AIApp,
    children: Iterable[Manifest],
    backends: BackendHealth | None,
    absent_kinds: frozenset[str] = frozenset(),
    downloads: Mapping[str, Progress] = MappingProxyType({}),
) -> Facts:
    """What the cached `children` of `app` (Pods included) say. Never raises, however partial they are."""
    generated = _generated_secrets(app)
    pods: dict[Selector, list[Manifest]] = {}
    others: dict[ObjectKey, Manifest] = {}
    for child in children:
        kind, name = text(child, "kind"), text(child, "metadata", "name")
        if kind == "Pod":
            pods.setdefault(_selector(child), []).append(child)
        elif kind and name:
            others[ObjectKey(kind, name)] = child
    living = [pod for group in pods.values() for pod in group if not text(pod, "metadata", "deletionTimestamp")]
    return Facts(
        keys=frozenset(others),
        workloads=_frozen(
            {
                k: _workload(k, c, pods.get(_selector(c), []), generated)
                for k, c in others.items()
                if k.kind in _WORKLOADS
            }
        ),
        jobs=_frozen({k.name: _job(k.name, c, pods, generated) for k, c in others.items() if _is_migration(k, c)}),
        runs=_frozen({k.name: _run(k.name, c, pods, generated) for k, c in others.items() if _is_run(k, c)}),
        schedules=_frozen(
            {k.name: text(c, "metadata", "creationTimestamp") for k, c in others.items() if k.kind == "CronJob"}
        ),
        claims=_frozen(
            {k.name: objects.claim(k.name, c) for k, c in others.items() if k.kind == "PersistentVolumeClaim"}
        ),
        autoscalers=_frozen(
            {k.name: objects.AUTOSCALERS[k.kind](k.name, c) for k, c in others.items() if k.kind in objects.AUTOSCALERS}
        ),
        clusters=_frozen({k.name: objects.cluster(k.name, c) for k, c in others.items() if k.kind == "Cluster"}),
        absent_kinds=absent_kinds,
        fronts=_frozen({k.name: objects.front(c) for k, c in others.items() if k.kind == "Service"}),
        missing_secrets=frozenset(name for pod in living for name in pod_causes.missing_secrets(pod)),
        missing_keys=frozenset(pair for pod in living for pair in pod_causes.missing_keys(pod)),
        backends=backends,
        downloads=_frozen(dict(downloads)),
    )


def _frozen(values: dict[K, V]) -> Mapping[K, V]:
    return MappingProxyType(dict(sorted(values.items(), key=lambda item: str(item[0]))))


def _generated_secrets(app: AIApp) -> frozenset[str]:
    """Secrets that the operator makes itself."""
    found: list[str] = []
    if app.spec.postgres.external is None:
        found += [names.database_secret(app.name, role) for role in DatabaseRole]
    if app.spec.redis.managed is not None:
        found.append(names.part(app.name, ComponentName.REDIS))
    return frozenset(found)


def _cause(pod: Manifest, generated: frozenset[str]) -> Cause | None:
    """Why `pod` is not ready. A Secret of our own that was deleted is ours to create again, not the user's."""
    cause = pod_causes.cause_of(pod)
    missing = min(pod_causes.missing_secrets(pod), default="")
    if cause is not None and missing in generated:
        return Cause(Severity.PROGRESSING, "SecretMissing", f"Secret {missing} was deleted and is created again")
    return cause


def _selector(child: Manifest) -> Selector:
    labels = mapping(child, "metadata", "labels")
    return str(labels.get(names.LABEL_COMPONENT, "")), str(labels.get(names.LABEL_NAME, ""))


def _workload(key: ObjectKey, child: Manifest, pods: list[Manifest], generated: frozenset[str]) -> Workload:
    annotations = mapping(child, "spec", "template", "metadata", "annotations")
    revision = str(annotations.get(names.ANNOTATION_REVISION, ""))
    living = [pod for pod in pods if not text(pod, "metadata", "deletionTimestamp")]
    current = [pod for pod in living if _revision(pod) == revision]
    ready = sum(_is_ready(pod) for pod in current)
    observed = number(child, "status", "observedGeneration") >= number(child, "metadata", "generation")
    updated = number(child, "status", "updatedReplicas")
    return Workload(
        key=key,
        revision=revision,
        desired=number(child, "spec", "replicas"),
        observed=observed,
        pods=number(child, "status", "replicas"),
        # The controller's count is newer than our pods after a restart by hand, which keeps our revision.
        ready=min(ready, updated) if observed else 0,
        serving=sum(_is_ready(pod) for pod in living),
        cause=_worst([*(_cause(pod, generated) for pod in current), _refused(child)]),
        rotation=str(mapping(child, "metadata", "annotations").get(names.ANNOTATION_ROTATION, "")),
        left=sum(text(pod, "status", "phase") not in _ENDED for pod in pods),
        asleep=names.ANNOTATION_ASLEEP in mapping(child, "metadata", "annotations"),
    )


def _revision(pod: Manifest) -> str:
    return str(mapping(pod, "metadata", "annotations").get(names.ANNOTATION_REVISION, ""))


def _is_ready(pod: Manifest) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def _worst(causes: Iterable[Cause | None]) -> Cause | None:
    """The gravest cause; among equals the first by its words, so that the order of pods does not matter."""
    found = [cause for cause in causes if cause is not None]
    return min(found, key=lambda cause: (-cause.severity, cause.reason, cause.message), default=None)


def _refused(child: Manifest) -> Cause | None:
    """The API server refuses the pods: a quota, Pod Security, a webhook."""
    failure = condition(child, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    message = text(failure, "message")
    quota = _QUOTA.search(message)
    if quota is not None:
        # What is used is left out: it changes with every other pod of the namespace.
        name, requested, limited = quota.groups()
        return Cause(
            Severity.FAILED,
            "QuotaExceeded",
            f"quota {name} refuses the pod: it asks for {requested}, allowed are {limited}",
        )
    return Cause(Severity.FAILED, "PodRefused", f"the pod is refused: {redact(_FORBIDDEN.sub('', message))}")


def _job(name: str, child: Manifest, pods: Mapping[Selector, list[Manifest]], generated: frozenset[str]) -> Job:
    component, entry = _selector(child)
    group = pods.get((component or ComponentName.MIGRATE.value, entry), [])
    own = [pod for pod in group if _job_of(pod) == name]
    state = JobState.ACTIVE
    if condition(child, "Complete").get("status") == "True":
        state = JobState.COMPLETE
    elif condition(child, "Failed").get("status") == "True":
        state = JobState.FAILED
    ends = [message for pod in own for message in _ends(pod)]
    return Job(
        name=name,
        state=state,
        executing=any(mapping(s, "state", "running") for pod in own for s in pod_causes.statuses(pod)),
        result=next((found for message in ends if (found := _result(message))), ""),
        database=str(mapping(child, "metadata", "annotations").get(names.ANNOTATION_DATABASE, "")),
        cause=_job_cause(state, own, ends, generated),
    )


def _is_run(key: ObjectKey, child: Manifest) -> bool:
    return key.kind == "Job" and _selector(child)[0] in names.RUNS


def _is_migration(key: ObjectKey, child: Manifest) -> bool:
    return key.kind == "Job" and not _is_run(key, child)


def _run(name: str, child: Manifest, pods: Mapping[Selector, list[Manifest]], generated: frozenset[str]) -> Run:
    job = _job(name, child, pods, generated)
    component = ComponentName(_selector(child)[0])
    own = [pod for pod in pods.get(_selector(child), []) if _job_of(pod) == name]
    lines = (line for pod in own for message in _ends(pod) for line in reversed(message.splitlines()))
    cause = job.cause
    if cause is None and job.state is JobState.FAILED:
        cause = Cause(Severity.FAILED, "Failed", "its pods are gone, so their last words are not known")
    return Run(
        name=name,
        component=component,
        state=job.state,
        created=text(child, "metadata", "creationTimestamp"),
        database=job.database,
        result=next((line for line in lines if line.startswith('{"')), "") if job.state is JobState.COMPLETE else "",
        cause=cause,
    )


def _job_of(pod: Manifest) -> str:
    labels = mapping(pod, "metadata", "labels")
    return str(labels.get("batch.kubernetes.io/job-name") or labels.get("job-name") or "")


def _ends(pod: Manifest) -> list[str]:
    """Termination messages of the containers of `pod`."""
    found = (
        mapping(s, "state", "terminated") or mapping(s, "lastState", "terminated") for s in pod_causes.statuses(pod)
    )
    return [text(ended, "message") for ended in found if text(ended, "message")]


def _result(message: str) -> str:
    """The schema revision out of {"migrated": "0002"}."""
    for line in reversed(message.splitlines()):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and isinstance(document.get("migrated"), str):
            return str(document["migrated"])[:64]
    return ""


def _job_cause(state: JobState, pods: list[Manifest], ends: list[str], generated: frozenset[str]) -> Cause | None:
    if state is JobState.COMPLETE:
        return None
    if state is JobState.ACTIVE:
        return _worst(_cause(pod, generated) for pod in pods)
    lines = sorted({line for message in ends if (line := last_line(message))})
    words = lines[0] if lines else "its pods are gone, so their last words are not known"
    return Cause(Severity.STALLED, "MigrationFailed", words)
