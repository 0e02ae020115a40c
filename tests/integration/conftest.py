"""A real API server for the session, without nodes; databases are started by the tests that need them."""

import pytest
from rich.console import Console

from tests.cluster.local import LocalCluster
from tests.stack.kube import Kube

CLUSTER = "integration"


@pytest.fixture(scope="session")
def api_server() -> Kube:
    """Control plane with its controllers; left running for the next session's speed."""
    cluster = LocalCluster(CLUSTER, "control-plane")
    cluster.up(Console(highlight=False, width=160, stderr=True))
    return Kube(cluster.kubeconfig, cluster.kubectl)
