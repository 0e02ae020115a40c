"""The control group below which all pods of a node live, on cgroup v1 (also hybrid) and v2."""

import contextlib
import os
import signal
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_V2_CONTROLLERS = "+cpu +cpuset +io +memory +pids"
_INHERITED = ("cpuset.cpus", "cpuset.mems")


def _hierarchies() -> list[Path]:
    """Where a group of a name has to exist: the one tree of v2, or each controller's tree of v1."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [
        path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink() and path.name != "unified"
    ]


def create(name: str) -> None:
    """Make the group; the kubelet wants its root to exist in every tree."""
    for hierarchy in _hierarchies():
        if hierarchy == ROOT:
            with contextlib.suppress(OSError):
                (ROOT / "cgroup.subtree_control").write_text(_V2_CONTROLLERS, encoding="ascii")
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for file in _INHERITED:
            # A new v1 cpuset is empty, and nothing can run in an empty one.
            if (group / file).exists() and not (group / file).read_text(encoding="ascii").strip():
                with contextlib.suppress(OSError):
                    (group / file).write_text((hierarchy / file).read_text(encoding="ascii"), encoding="ascii")


def end_all(name: str) -> None:
    """Kill every process in the group: containers whose shims are gone."""
    for hierarchy in _hierarchies():
        for procs in (hierarchy / name).glob("**/cgroup.procs"):
            with contextlib.suppress(OSError):
                for pid in procs.read_text(encoding="ascii").split():
                    os.kill(int(pid), signal.SIGKILL)


def remove(name: str) -> None:
    """Remove the group and all below it, deepest first."""
    for hierarchy in _hierarchies():
        groups = [path for path in (hierarchy / name).glob("**/") if path.is_dir()]
        for group in sorted(groups, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
