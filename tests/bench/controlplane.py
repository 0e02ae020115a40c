"""`make bench-controlplane`: what hundreds of AIApps cost the operator and the API server.

Nodes are simulated; the controller-manager may ask 1,000 times a second. AIApps are there before the operator starts:
what is measured is the way from nothing to quiet, and then a restart.
"""

import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from tests.bench.report import cpu_seconds, peak_mebibytes, tell
from tests.cluster.local import LocalCluster
from tests.cluster.paths import REPOSITORY
from tests.integration.operator.process import OperatorProcess, operator
from tests.stack.audit import AuditLog
from tests.stack.kube import Kube
from tests.stack.wait import wait_until

SIZES = (100, 500)
NODES = 20
METRICS_PORT = 18193
QUIET_SECONDS = 5.0
IDLE_SECONDS = 600
KINDS = (
    "Deployment",
    "StatefulSet",
    "Job",
    "Service",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "NetworkPolicy",
)
# The same kind of machine, with nothing but simulated pods.
PEERS = "KubeRay 1.4.2: 52-62 children/s, 3.4-4.1 ms, 2.2-2.7 requests; KServe 0.15: 11, 8.7, 6.8"


@dataclass(frozen=True)
class Bench:
    """The cluster, and where the operator under test writes its log."""

    kube: Kube
    audit: AuditLog
    folder: Path

    @contextmanager
    def operator(self, namespace: str) -> Iterator[OperatorProcess]:
        """The operator, looking after one namespace, with its metrics on a port."""
        with operator(self.kube.kubeconfig, namespace, self.folder, METRICS_PORT=str(METRICS_PORT)) as process:
            process.wait_working()
            yield process


def main() -> None:
    """Measure each size, then an idle cluster where asked for with --idle."""
    cluster = LocalCluster("bench", "control-plane", fast_controllers=True)
    console = Console(stderr=True, highlight=False)
    cluster.down(console)
    cluster.up(console)
    try:
        cluster.add_simulated_nodes(NODES)
        kube = Kube(cluster.kubeconfig, cluster.kubectl)
        kube.install_crd(REPOSITORY / "crds" / "aiapps.aiapp.dev.yaml")
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(kube, AuditLog(cluster.audit_log), Path(folder))
            for size in SIZES:
                _measure(bench, size)
            if "--idle" in sys.argv:
                _idle(bench)
    finally:
        cluster.down(console)


def _app(name: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "aiapp.dev/v1alpha1",
        "kind": "AIApp",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "api": {"replicas": 1, "auth": {"anonymous": True}},
            "workers": [{"name": "embeddings", "queues": ["embeddings"]}],
            "providers": [{"name": "fake", "kind": "Mock"}],
            "models": [{"name": "chat", "backends": [{"provider": "fake", "model": "mock-chat"}]}],
        },
    }


def _measure(bench: Bench, size: int) -> None:
    namespace = f"bench-{size}"
    bench.kube.namespace(namespace)
    for number in range(size):
        bench.kube.apply(_app(f"app-{number:04}", namespace))
    mark = bench.audit.mark()
    with bench.operator(namespace) as process:
        started, cpu = time.monotonic(), cpu_seconds(process.pid)
        finished = _until_ready_and_quiet(bench, namespace, size, mark)
        used = cpu_seconds(process.pid) - cpu
        requests = _requests()
        memory = peak_mebibytes(process.pid)
    children = sum(
        len(bench.kube.list(kind, namespace, "app.kubernetes.io/managed-by=aiapp-operator")) for kind in KINDS
    )
    label = f"controlplane_{size}"
    tell(f"{label}_children", [children], "children")
    tell(f"{label}_rate", [children / (finished - started)], "children/s until all are Ready", PEERS)
    tell(f"{label}_cpu", [1000 * used / children], "ms CPU/child", PEERS)
    tell(f"{label}_requests", [requests / children], "API requests/child until quiet", PEERS)
    tell(f"{label}_memory", [memory], "MiB peak", "aim at 500 AIApps: 250")
    _restart(bench, namespace, size, label)


def _until_ready_and_quiet(bench: Bench, namespace: str, size: int, mark: int) -> float:
    """Wait until all are Ready and nothing was written for some seconds; gives when the last write was seen."""
    at = time.monotonic()

    def quiet() -> bool:
        nonlocal mark, at
        end = bench.audit.mark()
        if bench.audit.operator_writes(mark, namespace):
            at = time.monotonic()
        mark = end
        return time.monotonic() - at > QUIET_SECONDS and _metric("aiapp_apps", reason="Ready") == size

    wait_until("all AIApps Ready and the operator quiet", quiet, seconds=900, seen=_apps_by_reason)
    return at


def _restart(bench: Bench, namespace: str, size: int, label: str) -> None:
    mark, started = bench.audit.mark(), time.monotonic()
    with bench.operator(namespace):
        wait_until("all were looked at", lambda: _total("aiapp_reconcile") >= size, seconds=300)
        seconds = time.monotonic() - started
        wait_until("a while has passed", lambda: time.monotonic() - started > seconds + QUIET_SECONDS, seconds=60)
        writes = len(bench.audit.operator_writes(mark, namespace))
    tell(f"{label}_restart", [seconds], "s until all were looked at", "KubeRay 1.4.2 at 1,000: 1.9 s")
    tell(f"{label}_restart_writes", [writes], "writes", "KubeRay 0, KServe 500")


def _idle(bench: Bench) -> None:
    namespace = f"bench-{SIZES[0]}"
    with bench.operator(namespace):
        mark, started = bench.audit.mark(), time.monotonic()
        wait_until("ten minutes", lambda: time.monotonic() - started > IDLE_SECONDS, seconds=IDLE_SECONDS + 60)
        writes = len(bench.audit.operator_writes(mark, namespace))
    tell("controlplane_idle_writes", [writes], f"writes in {IDLE_SECONDS / 60:g} min", "Leases not counted; aim: 0")


def _families() -> list[Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=10) as answer:
        return list(text_string_to_metric_families(answer.read().decode()))


def _metric(name: str, **labels: str) -> float:
    samples = [s for family in _families() if family.name == name for s in family.samples]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


def _total(name: str) -> float:
    return sum(
        s.value for family in _families() if family.name == name for s in family.samples if s.name.endswith("_total")
    )


def _apps_by_reason() -> dict[str, float]:
    return {
        s.labels["reason"]: s.value for family in _families() if family.name == "aiapp_apps" for s in family.samples
    }


def _requests() -> float:
    samples = [s for f in _families() if f.name == "aiapp_api_requests" for s in f.samples if s.name.endswith("_total")]
    return sum(s.value for s in samples if s.labels["kind"] != "Lease")


if __name__ == "__main__":
    main()
