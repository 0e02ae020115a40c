"""What AIApps need of a cluster: each check says what it found and what to do about it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from rich.console import Console

from aiapp_operator.cli.cluster import connected
from aiapp_operator.kube.api_errors import ApiError, NotFound
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.runtime.schema_check import missing_fields

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_GPU_MARK = "/gpu"
# Longer without a renewal than any holder would wait.
STALE_SECONDS = 60.0


class Grade(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What a check found; `remedy` is empty where there is nothing to do."""

    grade: Grade
    text: str
    remedy: str = ""


Check = Callable[[KubeClient], Awaitable[Finding]]
_COLOUR = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "red"}


async def examine(namespace: str, lease: str) -> int:
    """Run all checks and print them; 1 when one fails."""
    checks: dict[str, Check] = {
        "CRD": schema,
        "operator": partial(leader, namespace=namespace, lease=lease),
        "storage": default_storage,
        "GPUs": gpus,
    }
    console = Console(highlight=False)
    failed = False
    async with connected() as client:
        for name, check in checks.items():
            try:
                found = await check(client)
            except ApiError as error:
                found = Finding(Grade.FAIL, f"cannot be asked: {error.reason} {error.message}".strip())
            failed = failed or found.grade is Grade.FAIL
            line = f"{found.text}: {found.remedy}" if found.remedy else found.text
            console.print(f"[{_COLOUR[found.grade]}]{found.grade:<5}[/]{name:<10}{line}", soft_wrap=True)
    return 1 if failed else 0


async def schema(client: KubeClient) -> Finding:
    """Is the CRD there, with every field of this version?"""
    missing = await missing_fields(client)
    if missing is None:
        return Finding(
            Grade.FAIL,
            "aiapps.aiapp.dev is not installed",
            "install the chart, or `aiapp crd | kubectl apply --server-side -f -`",
        )
    if missing:
        few = ", ".join(missing[:5])
        return Finding(
            Grade.FAIL,
            f"{len(missing)} fields are missing ({few})",
            "upgrade the chart, or `aiapp crd | kubectl apply --server-side -f -`",
        )
    return Finding(Grade.OK, "aiapps.aiapp.dev has every field of this version")


async def leader(client: KubeClient, *, namespace: str, lease: str) -> Finding:
    """Does an operator hold the Lease?"""
    try:
        spec = (await client.get("Lease", namespace, lease))["spec"]
    except NotFound:
        return Finding(
            Grade.FAIL, f"no Lease {namespace}/{lease}", "install the chart; -n and --lease say where to look"
        )
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder or not renewed:
        return Finding(Grade.FAIL, "no operator holds the Lease", f"kubectl -n {namespace} get pods, and their logs")
    age = (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds()
    if age > STALE_SECONDS:
        return Finding(
            Grade.FAIL,
            f"{holder} renewed the Lease {age:.0f} s ago",
            f"kubectl -n {namespace} get pods, and their logs",
        )
    return Finding(Grade.OK, f"{holder} holds the Lease")


async def default_storage(client: KubeClient) -> Finding:
    """Is there a default StorageClass for managed databases?"""
    classes = (await client.list("StorageClass", None, "")).items
    defaults = [
        c["metadata"]["name"] for c in classes if (c["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    ]
    if not defaults:
        return Finding(
            Grade.WARN, "no default StorageClass", "mark one, or name one in storage.storageClassName of each database"
        )
    return Finding(Grade.OK, f"default StorageClass {', '.join(defaults)}")


async def gpus(client: KubeClient) -> Finding:
    """Do nodes offer GPUs?"""
    offered: dict[str, int] = {}
    for node in (await client.list("Node", None, "")).items:
        for name, count in (node.get("status", {}).get("allocatable") or {}).items():
            if name.endswith(_GPU_MARK):
                offered[name] = offered.get(name, 0) + int(count)
    if not offered:
        return Finding(
            Grade.WARN, "no node offers GPUs", "install the device plugin of your GPUs; models on CPU need none"
        )
    return Finding(Grade.OK, ", ".join(f"{count} {name}" for name, count in sorted(offered.items())))
