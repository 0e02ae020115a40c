"""Programs built from pinned Go modules, once per machine: kept in the cache under a hash of what they are made of."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.cluster.paths import cache_dir
from tests.cluster.steps import run_logged, step

MODULES = Path(__file__).parent / "go"
KUBERNETES = "v1.37.2"
_VERSION = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES.removeprefix("v").split(".")


@dataclass(frozen=True)
class GoTool:
    """One Go module file and the programs built with it.

    `binaries` maps the name of a program to its package; `ldflags` are added to the linker's.
    """

    name: str
    binaries: dict[str, str]
    ldflags: str = ""

    @property
    def key(self) -> str:
        """Changes with everything the programs are made of."""
        digest = hashlib.sha256(repr((sorted(self.binaries.items()), self.ldflags)).encode())
        for file in ("go.mod", "go.sum"):
            digest.update((MODULES / self.name / file).read_bytes())
        return digest.hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """Where the finished programs are."""
        return cache_dir() / "bin" / f"{self.name}-{self.key}"

    def build(self, console: Console) -> Path:
        """The folder with the programs, built when they are not there yet.

        Raises:
            CommandFailed: the build failed; the message has the end of its log.
        """
        if self.folder.exists():
            return self.folder
        if shutil.which("go") is None:
            raise RuntimeError("Go 1.26 or newer is needed to build the cluster's programs: put `go` on the PATH")
        with _only_one(self.name):
            if not self.folder.exists():
                with step(console, f"Building {self.name} from its Go module (once per machine)"):
                    self._build()
        return self.folder

    def _build(self) -> None:
        parent = self.folder.parent
        parent.mkdir(parents=True, exist_ok=True)
        # Made beside its place and renamed: a build that was killed never looks finished.
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{self.name}-") as scratch:
            out = Path(scratch) / "bin"
            log = cache_dir() / "logs" / f"build-{self.name}.log"
            for program, package in self.binaries.items():
                command = ["go", "build", "-trimpath", "-ldflags", f"-s -w {self.ldflags}".strip()]
                run_logged(
                    [*command, "-o", out / program, package],
                    log,
                    cwd=MODULES / self.name,
                    env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"},
                )
            out.rename(self.folder)


@contextmanager
def _only_one(name: str) -> Iterator[None]:
    lock = cache_dir() / f"{name}.lock"
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


_K8S_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
TOOLS = {
    tool.name: tool
    for tool in (
        GoTool(
            "kubernetes",
            {program: f"k8s.io/kubernetes/cmd/{program}" for program in _K8S_PROGRAMS},
            # Without these the API server calls itself v0.0.0-master.
            f"-X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor={_MAJOR} -X {_VERSION}.gitMinor={_MINOR}"
            f" -X {_VERSION}.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES}",
        ),
        GoTool("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
        GoTool("coredns", {"coredns": "github.com/coredns/coredns"}),
        GoTool("helm", {"helm": "helm.sh/helm/v3/cmd/helm"}),
        GoTool("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}),
        GoTool("pause", {"pause": "."}),
        GoTool("versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}),
    )
}


def program(name: str, console: Console | None = None) -> Path:
    """The path of one program, built first when needed.

    Raises:
        KeyError: no tool makes a program of that name.
    """
    for tool in TOOLS.values():
        if name in tool.binaries:
            return tool.build(console or Console(stderr=True)) / name
    raise KeyError(name)


def stale_builds() -> list[Path]:
    """Leftovers of builds that were killed; nobody is building them when their lock is free."""
    folder = cache_dir() / "bin"
    return [path for path in folder.glob(".*") if path.is_dir()] if folder.exists() else []


def environment_path() -> str:
    """PATH with the places where Debian keeps administrators' programs."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
