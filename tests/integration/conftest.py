"""A real API server for the session, without nodes; databases are started by the tests that need them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.cluster.local import LocalCluster
from tests.integration.servers.objects import ObjectServer, object_server
from tests.stack.kube import Kube

CLUSTER = "integration"


@pytest.fixture(scope="session")
def api_server() -> Kube:
    """Control plane with its controllers; left running for the next session's speed."""
    cluster = LocalCluster(CLUSTER, "control-plane")
    cluster.up(Console(highlight=False, width=160, stderr=True))
    return Kube(cluster.kubeconfig, cluster.kubectl)


@pytest.fixture
def object_store(tmp_path: Path) -> Iterator[ObjectServer]:
    """An S3 server of this test, with a bucket and an access key."""
    with object_server(tmp_path / "objects") as server:
        yield server
