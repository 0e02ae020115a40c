"""`aiapp backup` and `aiapp restore-check`: ask for a run by the AIApp's annotation, and follow it to its end."""

import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from aiapp_operator.api import names
from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build.digest import digest
from aiapp_operator.cli.cluster import connected
from aiapp_operator.kube.api_errors import ApiError, NotFound
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.status.fields import condition, items, mapping, text

_LOOK_SECONDS = 1.0
# The operator tells of the end of a Job within moments.
_TELL_SECONDS = 30.0


@dataclass(frozen=True)
class Kind:
    """What can be asked for."""

    component: ComponentName
    annotation: str
    field: str  # of status.database
    words: str


BACKUP = Kind(ComponentName.BACKUP, names.ANNOTATION_BACKUP_NOW, "lastBackup", "backup")
RESTORE_CHECK = Kind(ComponentName.VERIFY, names.ANNOTATION_VERIFY_NOW, "lastVerifiedRestore", "restore drill")


async def ask(kind: Kind, name: str, namespace: str, seconds: float) -> int:
    """Ask for a run and wait up to `seconds` (0: not at all); gives the exit code."""
    try:
        async with connected() as client:
            return await _ask(client, kind, name, namespace, seconds)
    except NotFound:
        sys.stderr.write(f"there is no AIApp {namespace}/{name}, or the CRD is not installed\n")
    except ApiError as error:
        sys.stderr.write(f"{error.reason}: {error.message}\n")
    return 1


async def _ask(client: KubeClient, kind: Kind, name: str, namespace: str, seconds: float) -> int:
    app = await client.get("AIApp", namespace, name)
    if not mapping(app, "spec", "postgres", "backup"):
        sys.stderr.write(f"AIApp {namespace}/{name} has no spec.postgres.backup\n")
        return 1
    before = mapping(app, "status", "database", kind.field)
    value = datetime.now(UTC).isoformat()
    await client.annotate("AIApp", namespace, name, {kind.annotation: value})
    job = names.run(name, kind.component, digest(value))
    sys.stdout.write(f"{kind.words} asked for: Job {job}\n")
    if not seconds:
        return 0
    ended = await _followed(client, namespace, job, seconds)
    if ended is None:
        sys.stderr.write(f"not done after {seconds:g} s: look at Job {job} and the AIApp's conditions\n")
        return 1
    return await _tell(client, kind, name, namespace, before, failed=ended == "Failed")


async def _followed(client: KubeClient, namespace: str, job: str, seconds: float) -> str | None:
    """Complete or Failed, once it is that; each new state is printed. None: it took too long."""
    started, said = time.monotonic(), ""
    while time.monotonic() - started < seconds:
        state = await _state(client, namespace, job)
        if state != said:
            said = state
            sys.stdout.write(f"  {time.monotonic() - started:5.0f} s  {state}\n")
        if state in {"Complete", "Failed"}:
            return state
        await asyncio.sleep(_LOOK_SECONDS)
    return None


async def _state(client: KubeClient, namespace: str, job: str) -> str:
    try:
        found = await client.get("Job", namespace, job)
    except NotFound:
        return "waits for the operator"
    for end in ("Complete", "Failed"):
        if condition(found, end).get("status") == "True":
            return end
    tries = mapping(found, "status").get("failed", 0)
    return f"running, after {tries} failed tries" if tries else "running"


async def _tell(client: KubeClient, kind: Kind, name: str, namespace: str, before: Manifest, *, failed: bool) -> int:
    started = time.monotonic()
    while True:
        app = await client.get("AIApp", namespace, name)
        last = mapping(app, "status", "database", kind.field)
        verdicts = items(app, "status", "conditions")
        verdict = next((c for c in verdicts if c.get("type") == ConditionType.BACKUP_VERIFIED), {})
        told = verdict.get("status") == "False" if failed else last != before
        if told or time.monotonic() - started > _TELL_SECONDS:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    if failed:
        sys.stderr.write(f"{text(verdict, 'reason')}: {text(verdict, 'message')}\n")
        return 1
    for field, value in last.items():
        sys.stdout.write(f"{field}: {value}\n")
    return 0
