"""Which cluster to use: the one given by KUBECONFIG, kind where a container engine answers, else a local one."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

from pytest_kind import KindCluster
from rich.console import Console

from tests.cluster import images
from tests.cluster.gotools import program
from tests.cluster.local import LocalCluster
from tests.cluster.paths import REPOSITORY, cache_dir, clusters_dir
from tests.cluster.steps import run, run_logged, step

# What stands in an installation from released images; a given cluster pulls them itself.
RELEASED = {
    "operator": "ghcr.io/aiapp-operator/operator:0.1.0",
    "service": "ghcr.io/aiapp-operator/service:0.1.0",
    "postgres": "pgvector/pgvector:pg17",
    "redis": "redis:7-alpine",
    "llamacpp": "ghcr.io/ggml-org/llama.cpp:server",
    "model": "ghcr.io/aiapp-operator/model-gemma-3-270m:1",
}


class Cluster(Protocol):
    """What tests and demo need of a cluster, wherever it comes from."""

    @property
    def kind(self) -> Literal["given", "kind", "local"]:
        """Where it comes from."""

    @property
    def kubeconfig(self) -> Path:
        """For its administrator."""

    @property
    def kubectl(self) -> Path:
        """A kubectl that fits."""

    @property
    def audit_log(self) -> Path | None:
        """The API server's record of writes, where it can be read from here."""

    def up(self, console: Console) -> None:
        """Bring it up; again is fine."""

    def down(self, console: Console) -> None:
        """Remove it, if it was made here."""

    def load_images(self, names: Iterable[str], console: Console) -> dict[str, str]:
        """Make images available; gives the reference of each name."""


@dataclass(frozen=True)
class GivenCluster:
    """A cluster that somebody else runs."""

    kubeconfig: Path
    kind: Literal["given"] = "given"
    audit_log: None = None

    @property
    def kubectl(self) -> Path:
        """kubectl of the PATH, else one built here."""
        found = shutil.which("kubectl")
        return Path(found) if found else program("kubectl")

    def up(self, console: Console) -> None:
        """Check that it answers."""
        with step(console, f"Asking the cluster of {self.kubeconfig}"):
            run(self.kubectl, "--kubeconfig", self.kubeconfig, "version")

    def down(self, console: Console) -> None:
        """It is not ours to remove."""
        console.print(f"-- the cluster of {self.kubeconfig} is not removed: it was given", markup=False)

    def load_images(self, names: Iterable[str], console: Console) -> dict[str, str]:
        """Released images, which the cluster pulls itself; AIAPP_IMAGE_NAME gives another one."""
        refs = {name: os.environ.get(f"AIAPP_IMAGE_{name.upper()}", RELEASED[name]) for name in names}
        console.print(f"-- images the cluster has to pull: {' '.join(refs.values())}", markup=False)
        return refs


@dataclass(frozen=True)
class EngineCluster:
    """A kind cluster, where a container engine answers."""

    name: str
    kind: Literal["kind"] = "kind"
    audit_log: None = None

    @cached_property
    def _kind(self) -> KindCluster:
        return KindCluster(f"aiapp-{self.name}", kubeconfig=self.kubeconfig)

    @property
    def kubeconfig(self) -> Path:
        """Kept in the clone."""
        folder = REPOSITORY / ".cluster" / f"kind-{self.name}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        """kubectl of the PATH, else one built here."""
        found = shutil.which("kubectl")
        return Path(found) if found else program("kubectl")

    def up(self, console: Console) -> None:
        """Create it unless it exists."""
        with step(console, f"Creating kind cluster {self.name}"):
            self._kind.create()

    def down(self, console: Console) -> None:
        """Delete it."""
        with step(console, f"Removing kind cluster {self.name}"):
            self._kind.delete()

    def load_images(self, names: Iterable[str], console: Console) -> dict[str, str]:
        """The project's images built with docker; the others are pulled by the cluster."""
        refs = {name: RELEASED[name] for name in names}
        for target in {"operator", "service"} & refs.keys():
            ref = images.catalogue()[target].ref
            with step(console, f"Building and loading {ref}"):
                command: list[str | Path] = ["docker", "build", "--target", target, "--tag", ref, REPOSITORY]
                run_logged(command, cache_dir() / "logs" / f"docker-{target}.log")
                self._kind.load_docker_image(ref)
            refs[target] = ref
        return refs


def select_cluster(name: str) -> Cluster:
    """The cluster called `name`, from wherever this machine can have one.

    A KUBECONFIG that points to a local cluster of ours is no given cluster: it is what the demo
    tells people to export.
    """
    given = os.environ.get("KUBECONFIG", "")
    if given and not _is_ours(Path(given)):
        return GivenCluster(Path(given))
    if _engine_answers():
        return EngineCluster(name)
    return LocalCluster(name)


def _is_ours(kubeconfig: Path) -> bool:
    return clusters_dir() in kubeconfig.resolve().parents or REPOSITORY / ".cluster" in kubeconfig.absolute().parents


def _engine_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
