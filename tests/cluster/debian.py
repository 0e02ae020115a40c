"""Debian packages that the test bed needs; installed where that is possible, named where it is not."""

import os
import shutil
import subprocess
from pathlib import Path

from rich.console import Console

from tests.cluster.paths import cache_dir
from tests.cluster.steps import run_logged, step

NODE_PACKAGES = (
    "buildah",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "ethtool",
    "iproute2",
    "ipset",
    "iptables",
    "runc",
    "socat",
)
SERVER_PACKAGES = ("postgresql", "redis-server")
# Packages start their services when installed; this file, in place for that long, forbids it.
_POLICY = Path("/usr/sbin/policy-rc.d")


class MissingPackages(RuntimeError):
    """Packages are missing and cannot be installed from here; the message has the command to run."""


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those of `packages` that are not installed."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def ensure(packages: tuple[str, ...], console: Console) -> None:
    """Install what is missing.

    Raises:
        MissingPackages: not root, or not a Debian; says what to install.
        CommandFailed: apt-get failed.
    """
    if shutil.which("dpkg-query") is None:
        raise MissingPackages(f"needs a Debian-like system with the packages {' '.join(packages)}")
    wanted = missing(packages)
    if not wanted:
        return
    if os.geteuid() != 0:
        raise MissingPackages(f"run as root, or install first: apt-get install {' '.join(wanted)}")
    log = cache_dir() / "logs" / "apt.log"
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(console, f"Installing Debian packages {' '.join(wanted)}"):
        own_policy = not _POLICY.exists()
        if own_policy:
            _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
            _POLICY.chmod(0o755)
        try:
            run_logged(["apt-get", "update"], log, env=env)
            run_logged(["apt-get", "install", "-y", "--no-install-recommends", *wanted], log, env=env)
        finally:
            if own_policy:
                _POLICY.unlink(missing_ok=True)
