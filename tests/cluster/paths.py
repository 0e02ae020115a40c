"""Where things live: the cache of built parts, the state of running clusters, the repository."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    """Built binaries and images, kept between runs; set AIAPP_CACHE to move it."""
    base = os.environ.get("AIAPP_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aiapp"
    path = Path(base)
    path.mkdir(parents=True, exist_ok=True)
    return path


def clusters_dir() -> Path:
    """State of the running clusters of this machine, of all clones.

    Short on purpose: unix sockets inside it may have 107 characters at most.
    """
    path = Path(os.environ.get("AIAPP_CLUSTERS") or "/var/lib/aiapp-clusters")
    path.mkdir(parents=True, exist_ok=True)
    return path
