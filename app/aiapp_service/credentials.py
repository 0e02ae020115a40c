"""Credentials as files, read again when they change: a Secret is rotated without a restart.

kubelet swaps a symbolic link under mounted Secrets; looking at the file's identity notices that.
"""

import time
from pathlib import Path

RECHECK_SECONDS = 1.0

Identity = tuple[int, int, int]


def identity(path: Path) -> Identity | None:
    """What tells one content of a file from the next; None while there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


class SecretFile:
    """One value in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity: Identity | None = None
        self._value: str | None = None
        self._looked_at = float("-inf")

    def get(self) -> str | None:
        """The value now, without white space around it; None while there is no such file."""
        now = time.monotonic()
        if now - self._looked_at >= RECHECK_SECONDS:
            self._looked_at = now
            found = identity(self.path)
            if found != self._identity:
                self._identity, self._value = found, _read(self.path)
        return self._value


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
