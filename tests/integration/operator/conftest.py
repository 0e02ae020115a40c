"""An API server with simulated nodes: pods run at once, volumes are bound, migrations complete."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from tests.cluster.local import LocalCluster
from tests.cluster.paths import REPOSITORY
from tests.stack.audit import AuditLog
from tests.stack.kube import Kube

CLUSTER = "simulated"
NODES = 3


@dataclass(frozen=True)
class Simulated:
    """The cluster, and what was written to it."""

    kube: Kube
    audit: AuditLog

    @property
    def kubeconfig(self) -> Path:
        """For its administrator."""
        return self.kube.kubeconfig


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    """Control plane, controllers and nodes that only pretend; the CRD installed."""
    cluster = LocalCluster(CLUSTER, "control-plane", fast_controllers=True)
    cluster.up(Console(highlight=False, width=160, stderr=True))
    cluster.add_simulated_nodes(NODES)
    kube = Kube(cluster.kubeconfig, cluster.kubectl)
    kube.install_crd(REPOSITORY / "crds" / "aiapps.aiapp.dev.yaml")
    return Simulated(kube, AuditLog(cluster.audit_log))


@pytest.fixture
def namespace(simulated: Simulated, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of this test alone."""
    slug = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-")[:40]
    name = f"{slug}-{zlib.crc32(request.node.nodeid.encode()) % 10000}"
    simulated.kube.namespace(name)
    yield name
    simulated.kube.delete("Namespace", name)


def assistant(name: str, namespace: str, **spec: object) -> dict[str, object]:
    """An AIApp with every part that simulated nodes can run."""
    text = (REPOSITORY / "config" / "samples" / "assistant.yaml").read_text(encoding="utf-8")
    app = yaml.safe_load(text)
    app["metadata"] = {"name": name, "namespace": namespace}
    app["spec"] |= spec
    return dict(app)
