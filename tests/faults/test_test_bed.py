"""The test bed itself: killed at any point it leaves a machine on which the next call works."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.cluster.images import pause_ref
from tests.cluster.local import LocalCluster, remove_orphans
from tests.cluster.paths import REPOSITORY, clusters_dir
from tests.cluster.processes import start_time
from tests.cluster.slots import Owner, Slot, find
from tests.stack.kube import Kube
from tests.stack.wait import wait_until

NAME = "faults"
SECONDS = 240
# Where in the course of a call it is killed: the fractions of its usual time, tried in a fixed random order.
MOMENTS = tuple(round(random.Random(7).uniform(0.02, 1.0), 2) for _ in range(6))


@pytest.fixture(autouse=True)
def _needs_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("a local cluster needs root")


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """A full cluster of this name, gone at the end."""
    made = LocalCluster(NAME)
    made.down(Console(stderr=True))
    yield made
    made.down(Console(stderr=True))


def call(*arguments: str, clone: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """`python -m tests.cluster` to its end."""
    command = [sys.executable, "-m", "tests.cluster", *arguments]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=SECONDS, check=False)


def killed_after(seconds: float, *arguments: str) -> None:
    """The same call, SIGKILLed with everything in its session after some time."""
    command = [sys.executable, "-m", "tests.cluster", *arguments]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def timed(*arguments: str) -> float:
    started = time.monotonic()
    done = call(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - started


def runs_a_pod(cluster: LocalCluster) -> None:
    """The proof that a cluster works: a new pod is scheduled, gets an address and runs."""
    kube = Kube(cluster.kubeconfig, cluster.kubectl)
    wait_until("service account", lambda: kube.get("ServiceAccount", "default", "default"), seconds=60)
    kube.delete("Pod", "proof", "default", grace_seconds=0)
    wait_until("old proof gone", lambda: kube.get("Pod", "proof", "default") is None, seconds=60)
    container = {"name": "pause", "image": pause_ref(), "imagePullPolicy": "Never"}
    meta = {"name": "proof", "namespace": "default"}
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}})

    def running() -> bool:
        status = (kube.get("Pod", "proof", "default") or {}).get("status", {})
        return status.get("phase") == "Running" and bool(status.get("podIP"))

    wait_until("pod runs", running, seconds=90, seen=lambda: kube.get("Pod", "proof", "default"))


def remains_of(slot: Slot) -> list[str]:
    """Whatever of a cluster is left on the machine."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    processes = [
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and f"{slot.state}/".encode() in _command_line(entry)
    ]
    found = [f"mount {mount}" for mount in mounts if mount.startswith(f"{slot.state}/")]
    found += [f"process {pid}" for pid in processes]
    found += [str(path) for path in (slot.state, Path(f"/run/netns/{slot.namespace}")) if path.exists()]
    links = subprocess.run(["ip", "-json", "link"], capture_output=True, check=True, text=True).stdout
    return found + [f"link {link['ifname']}" for link in json.loads(links) if link["ifname"] == slot.host_link]


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def test_up_and_down_killed_at_any_point(cluster: LocalCluster) -> None:
    usual = timed("up", "--name", NAME)
    runs_a_pod(cluster)
    slot = find(Owner(str(REPOSITORY), NAME))
    assert slot is not None
    down = timed("down", "--name", NAME)
    assert remains_of(slot) == []
    for moment in MOMENTS:
        killed_after(usual * moment, "up", "--name", NAME)
        timed("up", "--name", NAME)
        runs_a_pod(cluster)
        killed_after(down * moment, "down", "--name", NAME)
        timed("down", "--name", NAME)
        assert remains_of(slot) == [], f"killed at {moment} of the way"


def test_everything_killed_at_once_is_put_right(cluster: LocalCluster) -> None:
    """As when the machine was out of memory: all daemons, shims and pods are gone, their files are not."""
    timed("up", "--name", NAME)
    runs_a_pod(cluster)
    slot = cluster.slot
    for pid in _everything(slot):
        with_suppressed_kill(pid)
    timed("up", "--name", NAME)
    runs_a_pod(cluster)


def _everything(slot: Slot) -> list[int]:
    namespace = Path(f"/run/netns/{slot.namespace}").stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            inside = (entry / "ns" / "net").stat().st_ino == namespace
        except OSError:
            continue
        if inside or f"{slot.state}/".encode() in _command_line(entry):
            found.append(int(entry.name))
    return found


def with_suppressed_kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_pid_that_belongs_to_somebody_else_by_now_is_left_alone(cluster: LocalCluster) -> None:
    """After a reboot numbers are given out again: a stale pid file must not end a stranger."""
    with subprocess.Popen(["/bin/sleep", "600"]) as stranger:
        try:
            pids = cluster.slot.state / "pids"
            pids.mkdir(parents=True)
            for name in ("etcd", "kube-apiserver", "kubelet"):
                (pids / name).write_text(f"{stranger.pid} 12345")
            timed("down", "--name", NAME)
            assert start_time(stranger.pid) is not None
        finally:
            stranger.kill()


def test_two_clones_do_not_disturb_each_other(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        if (REPOSITORY / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, clone / name)
    here, there = LocalCluster(NAME, "control-plane"), Owner(str(clone), NAME)
    try:
        assert call("up", "--name", NAME, "--profile", "control-plane").returncode == 0
        assert call("up", "--name", NAME, "--profile", "control-plane", clone=clone).returncode == 0
        other = find(there)
        assert other is not None
        assert other.number != here.slot.number
        Kube(here.kubeconfig, here.kubectl).namespace("only-here")
        assert Kube(other.state / "kubeconfig", here.kubectl).get("Namespace", "only-here") is None
        assert call("down", "--all", clone=clone).returncode == 0
        assert remains_of(other) == []
        assert Kube(here.kubeconfig, here.kubectl).get("Namespace", "only-here") is not None
    finally:
        here.down(Console(stderr=True))
        call("down", "--all", clone=clone)


def test_clusters_of_a_clone_that_is_gone_are_removed(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    folder = clusters_dir()
    number = next(n for n in range(31, 0, -1) if not (folder / f"{n}.owner").exists())
    (folder / f"{number}.owner").write_text(json.dumps({"clone": str(gone), "name": "x"}))
    (folder / str(number) / "logs").mkdir(parents=True)
    done = call("down", "--name", "nothing-of-ours")
    assert done.returncode == 0
    assert (folder / str(number)).exists(), "only `--all` looks at others"
    remove_orphans(Console(stderr=True))
    assert not (folder / str(number)).exists()
    assert not (folder / f"{number}.owner").exists()
